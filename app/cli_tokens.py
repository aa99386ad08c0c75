"""`ballast token ...`: who may ask the server."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.session import AsJson, emit, with_services
from graph.people import Role

if TYPE_CHECKING:
    from app.lifespan import Opened
    from checkpoints.tokens import Token

tokens_app = typer.Typer(help="Tokens that let people and programs ask the server.")

Days = Annotated[int, typer.Option(help="How long it lets them in.")]


@tokens_app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who they are: their threads and decisions carry it.")],
    role: Annotated[Role, typer.Option(help="What they may do.")],
    days: Days = 90,
    as_json: AsJson = False,
) -> None:
    """Make a token for NAME and show it, once: only its hash is kept."""

    async def do(services: Opened) -> Any:
        token, secret = await services.tokens.create(name, role, days=days)
        return {**_shape(token), "token": secret}

    emit(with_services(do), as_json, _made)


@tokens_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All tokens, oldest first; never what they are."""
    from app.show import table

    async def do(services: Opened) -> Any:
        return [_shape(token) for token in await services.tokens.list()]

    emit(with_services(do), as_json, table("id", "name", "role", "status", "expires_at", "last_used_at"))


@tokens_app.command()
def revoke(token_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Let nobody in by the token with this id any more, from their next request on."""
    from app.show import record
    from app.standing import standing

    async def do(services: Opened) -> Any:
        token = await services.tokens.revoke(token_id)
        if not await services.tokens.asked_for():  # the last one: what that opens must not go unsaid
            print(f"sign-in: {await standing(services)}", file=sys.stderr)
        return _shape(token)

    emit(with_services(do), as_json, record)


def _shape(token: Token) -> dict[str, Any]:
    fields = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in asdict(token).items()}
    del fields["expired"]
    return {**fields, "status": token.status}


def _made(made: dict[str, Any]) -> None:
    print(made["token"])
    told = f"{made['id']}: lets {made['name']} in as {made['role']} until {made['expires_at']:.10}"
    print(f"{told}. It is not shown again; send it as 'Authorization: Bearer TOKEN'", file=sys.stderr)
