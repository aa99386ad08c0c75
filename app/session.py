"""What the commands share: opening the services, reading flags, printing, ending with the right code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app import loop
from graph.errors import BadSetting

if TYPE_CHECKING:
    from app.lifespan import Opened
    from graph.context import LocalContext

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def with_services(do: Callable[[Opened], Awaitable[Any]]) -> Any:
    """Open the services, await `do` with them, close them."""
    from app.lifespan import opened

    async def session() -> Any:
        async with opened() as services:
            return await do(services)

    return loop.run(session())


def context_of(**flags: Any) -> LocalContext:
    """The context fields given as flags.

    Raises:
        BadSetting: a flag is out of bounds.
    """
    from pydantic import ValidationError

    from graph.context import LocalContext

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return LocalContext(**given)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        told = first["msg"].removeprefix("Value error, ")
        raise BadSetting(f"{flag}: {told} (got {str(first['input'])!r:.200})") from None


def emit(result: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print a result: JSON, or for people."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=str))
    else:
        show(result)


def finish(result: dict[str, Any], as_json: bool, show: Callable[[Any], None], *, plan_only: bool = False) -> None:
    """Print a run's report and end with its outcome's exit code."""
    from app.report import exit_code

    emit(result, as_json, show)
    raise SystemExit(exit_code(result, plan_only=plan_only))
