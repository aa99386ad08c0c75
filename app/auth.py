"""What `langgraph.json` names as `auth`: who may ask the server for what.

A thread belongs to who created it: its metadata says so under `owner`, which no client can write. Everybody else,
admins excepted, gets the answer of a thread that does not exist. What has no handler here is denied.
"""

from __future__ import annotations

from typing import Any

import psycopg
from langgraph_sdk import Auth, get_client
from langgraph_sdk.auth import types
from langgraph_sdk.errors import NotFoundError
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from app.answers import take
from app.identity import identify, presented
from app.problems import status_of
from app.server import engine
from checkpoints.owners import OWNER_KEY
from graph.errors import DatabaseUnavailable, NotFound, SignInUnavailable, Unauthorized, UsageError
from graph.people import ROLES, Person, Role

Filter = types.FilterType | None

NO_THREAD = "Thread or assistant not found."
"""What the server says of a run on a thread that does not exist."""

auth = Auth()


@auth.authenticate
async def authenticate(scope: dict[str, Any]) -> types.MinimalUserDict:
    """Who sent the request; the one permission is the role. The whole scope: websockets have no `Request`."""
    connection = HTTPConnection(scope)
    try:
        person = await identify(await engine(), connection, token=presented(connection))
    except SignInUnavailable as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from None
    except Unauthorized as error:
        raise Auth.exceptions.HTTPException(status_code=401, detail=str(error)) from None
    except (psycopg.OperationalError, PoolTimeout, DatabaseUnavailable):
        raise HTTPException(503, "the database can't be asked who this is: try again later") from None
    return {
        "identity": person.name,
        "display_name": person.name,
        "is_authenticated": True,
        "permissions": [person.role],
    }


def person_of(ctx: types.BaseAuthContext) -> Person:
    """Whom `authenticate` found."""
    held: list[Role] = [role for role in ROLES if role in ctx.permissions]
    return Person(name=ctx.user.identity, role=held[0] if held else "user")


@auth.on
async def deny(ctx: types.AuthContext, value: Any) -> bool:  # noqa: ARG001 - the server passes them by name
    """What nobody thought of is allowed to nobody."""
    return False


@auth.on.threads.create
async def create_thread(ctx: types.AuthContext, value: types.ThreadsCreate) -> Filter:
    """A thread is its creator's. Also asked for a copy: that stays whose the original is."""
    person = person_of(ctx)
    thread_id = value["thread_id"]
    owner = await _owner(person, thread_id)
    if owner is None:
        raise Auth.exceptions.HTTPException(status_code=409, detail=f"Thread with ID {thread_id} already exists")
    value["metadata"] = _without_owner(value.get("metadata"))
    value["metadata"][OWNER_KEY] = owner
    return _own(person)


@auth.on.threads.create_run
async def create_run(ctx: types.AuthContext, value: types.RunsCreate) -> Filter:
    """A run on one's own thread, on a new one, or on none."""
    person = person_of(ctx)
    thread_id = value.get("thread_id")
    owner = person.name if thread_id is None else await _owner(person, thread_id)
    if owner is None:
        raise Auth.exceptions.HTTPException(status_code=404, detail=NO_THREAD)
    if thread_id is not None:
        await _take_answer(person, str(thread_id), value["kwargs"])
    _without_owner((value["kwargs"].get("config") or {}).get("metadata"))
    metadata = _without_owner(value.get("metadata"))
    if person.role != "admin" or thread_id is None or value.get("if_not_exists") == "create":
        metadata[OWNER_KEY] = owner  # of the thread this makes, if it makes one; an admin's run on another's stays so
    return _own(person)


async def _take_answer(person: Person, thread_id: str, asked_for: dict[str, Any]) -> None:
    """See `app.answers.take`; what it refuses becomes the answer to the request."""
    try:
        await take(await engine(), person, thread_id, asked_for)
    except NotFound:  # in the words of a thread that is another's
        raise Auth.exceptions.HTTPException(status_code=404, detail=NO_THREAD) from None
    except UsageError as refused:
        raise Auth.exceptions.HTTPException(status_code=status_of(refused), detail=str(refused)) from None


@auth.on.threads.update
async def update_thread(ctx: types.AuthContext, value: types.ThreadsUpdate) -> Filter:
    """Also a state edited, a run cancelled. The owner stays; whoever may have edited counts as an author."""
    person, thread_id = person_of(ctx), value.get("thread_id")
    _without_owner(value.get("metadata"))
    if thread_id is not None and await _owner(person, thread_id) is not None:
        runs = (await engine()).runs
        if value.get("action"):  # no worker goes on with what a person stopped
            await runs.cancelled(str(thread_id))
        else:
            await runs.edited(str(thread_id), by=person.name)
    return _own(person)


@auth.on.threads.read
async def read_thread(ctx: types.AuthContext, value: types.ThreadsRead) -> Filter:  # noqa: ARG001 - as above
    """Also its runs, their streams and its history."""
    return _own(person_of(ctx))


@auth.on.threads.delete
async def delete_thread(ctx: types.AuthContext, value: types.ThreadsDelete) -> Filter:
    """Also one of its runs. The dev server deletes a run's checkpoints first, and then looks whose run it was."""
    run_id = value.get("run_id")
    if run_id is not None and not await _is_listed(value["thread_id"], run_id):
        raise Auth.exceptions.HTTPException(status_code=404, detail="Run not found")
    return _own(person_of(ctx))


@auth.on.threads.search
async def search_threads(ctx: types.AuthContext, value: types.ThreadsSearch) -> Filter:  # noqa: ARG001 - as above
    """Also counting them."""
    return _own(person_of(ctx))


@auth.on.assistants.read
async def read_assistant(ctx: types.AuthContext, value: types.AssistantsRead) -> bool:  # noqa: ARG001 - as above
    """Graphs and their settings are everybody's to see."""
    return True


@auth.on.assistants.search
async def search_assistants(ctx: types.AuthContext, value: types.AssistantsSearch) -> bool:  # noqa: ARG001 - as above
    """See `read_assistant`."""
    return True


@auth.on.assistants(actions=["create", "update", "delete"])
async def change_assistant(ctx: types.AuthContext, value: Any) -> bool:  # noqa: ARG001 - as above
    """An assistant runs for everybody."""
    return _is_admin(ctx)


@auth.on.crons
async def any_cron(ctx: types.AuthContext, value: Any) -> bool:  # noqa: ARG001 - as above
    """A cron starts runs while nobody looks."""
    return _is_admin(ctx)


@auth.on.store
async def any_item(ctx: types.AuthContext, value: Any) -> bool:
    """Everybody has the namespaces that begin with their name; what is searched under none is searched there."""
    if _is_admin(ctx):
        return True
    own, namespace = label(ctx.user.identity), tuple(value.get("namespace") or ())
    if not namespace and ctx.action in {"search", "list_namespaces"}:
        value["namespace"] = (own,)
        return True
    return namespace[:1] == (own,)


def label(name: str) -> str:
    """A person's name as the first label of a namespace, which may hold no period."""
    return name.replace("%", "%25").replace(".", "%2E")


async def _owner(person: Person, thread_id: object) -> str | None:
    """Whose a thread is that this person would create or run; None when it is another's.

    The server asks its own list of threads next, by the filter. What Postgres knows counts too: a thread of the
    command line, or one the server has lost and not been given back, must not be taken over by creating it anew.
    """
    opened = await engine()
    kept = await opened.owners.of(str(thread_id))
    if kept is None:
        return person.name
    if person.role == "admin" or kept == person.name:
        return kept
    # Its first request can have been an admin's, and a state edited by hand has no sender: then the list knows better.
    return person.name if await _is_listed(thread_id) else None


async def _is_listed(thread_id: object, run_id: object = None) -> bool:
    """Whether the server has this thread, or run of it, as one of the person's who asks: the client is theirs here."""
    client = get_client()
    try:
        if run_id is None:
            await client.threads.get(str(thread_id))
        else:
            await client.runs.get(str(thread_id), str(run_id))
    except NotFoundError:
        return False
    return True


def _own(person: Person) -> Filter:
    return None if person.role == "admin" else {OWNER_KEY: person.name}


def _is_admin(ctx: types.AuthContext) -> bool:
    return person_of(ctx).role == "admin"


def _without_owner(metadata: Any) -> dict[str, Any]:
    """The metadata a client sent, in place: the server goes on with the same object."""
    if not isinstance(metadata, dict):
        return {}
    metadata.pop(OWNER_KEY, None)
    return metadata
