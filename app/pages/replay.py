"""Replay from a checkpoint: first what it would do, then the run, by the server."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

import httpx
from langgraph_sdk import get_client
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.going_on import is_uuid
from app.pages.run import check_owner, runs_of
from app.pages.visit import Visit, visit
from app.replay import preview
from checkpoints.owners import OWNER_KEY
from graph.errors import BadSetting, ThreadBusy


async def show(request: Request) -> Response:
    """GET /inbox/replay/{thread_id}?checkpoint=ID: a dry run."""
    return await _shown(await visit(request))


async def start(request: Request) -> Response:
    """POST /inbox/replay/{thread_id}: fork there and run on; the old branch stays."""
    seen = await visit(request)
    form = await seen.form()
    thread_id, checkpoint_id = request.path_params["thread_id"], form.get("checkpoint", "")
    await check_owner(seen, thread_id)
    await runs_of(seen).find_checkpoint(thread_id, node=None, checkpoint_id=checkpoint_id)
    if not is_uuid(thread_id):
        raise BadSetting(
            f"the server can't run a thread with this id: ballast replay '{thread_id}' --checkpoint {checkpoint_id}"
        )
    row = await seen.opened.runs.get(thread_id)
    owner = await seen.opened.owners.of(thread_id)
    await _run(thread_id, row.graph if row else "react", checkpoint_id, owner=owner)
    return RedirectResponse(f"/inbox/runs/{quote(thread_id, safe='')}?started", HTTPStatus.SEE_OTHER)


async def _shown(seen: Visit) -> Response:
    thread_id = seen.request.path_params["thread_id"]
    await check_owner(seen, thread_id)
    checkpoint_id = seen.request.query_params.get("checkpoint", "")
    found = await runs_of(seen).find_checkpoint(thread_id, node=None, checkpoint_id=checkpoint_id)
    return seen.respond("replay.html", thread_id=thread_id, plan=await preview(seen.opened, found))


async def _run(thread_id: str, graph_id: str, checkpoint_id: str, *, owner: str | None) -> None:
    client = get_client()
    await client.threads.create(  # where the server has it not yet, it would be nobody's
        thread_id=thread_id, graph_id=graph_id, metadata={OWNER_KEY: owner}, if_exists="do_nothing"
    )
    try:
        await client.runs.create(
            thread_id, graph_id, input=None, checkpoint_id=checkpoint_id, multitask_strategy="reject"
        )
    except httpx.HTTPStatusError as error:
        if error.response.status_code == HTTPStatus.CONFLICT:
            raise ThreadBusy(thread_id) from None
        raise
