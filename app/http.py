"""What `langgraph.json` names as `http.app`: the pages under `/inbox` and the JSON API under `/approvals`.

The server takes this app for its own and adds its routes to it, so a middleware here is for all of them. What belongs
to our routes only, headers and errors, is said for each of them (`app/pages/site.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from app import approvals_api
from app.closed_routes import ClosedRoutes
from app.pages import approval, events, inbox, login, replay, result, run, runs, static
from app.pages.rendering import Pages
from app.pages.site import page, program
from app.pages.visit import visit
from app.server import engine
from checkpoints.changes import Changes
from graph.errors import NotFound


async def _nothing(request: Request) -> Response:
    if request.path_params["rest"] == "":
        return RedirectResponse("/inbox")
    await visit(request)
    raise NotFound("page", request.url.path[:100], "see /inbox")


ROUTES: tuple[BaseRoute, ...] = (
    page("/inbox", inbox.show),
    page("/inbox/login", login.show),
    page("/inbox/login", login.enter, "POST"),
    page("/inbox/logout", login.leave, "POST"),
    page("/inbox/events", events.show),
    page("/inbox/static/{name}", static.show),
    page("/inbox/runs", runs.show),
    page("/inbox/runs/{thread_id:path}", run.show),
    page("/inbox/results/{handle}/{thread_id:path}", result.show),
    page("/inbox/replay/{thread_id:path}", replay.show),
    page("/inbox/replay/{thread_id:path}", replay.start, "POST"),
    page("/inbox/{approval_id}", approval.show),
    page("/inbox/{approval_id}", approval.decide, "POST"),
    page("/inbox/{rest:path}", _nothing),
    program("/approvals", approvals_api.index),
    program("/approvals/{approval_id}", approvals_api.show),
    program("/approvals/{approval_id}", approvals_api.decide, "POST"),
)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Entered after the server's own, when the database is open."""
    async with Changes.open(str((await engine()).pool.conninfo)) as changes:
        app.state.changes = changes
        yield


def build() -> Starlette:
    """The app; its templates are read now."""
    made = Starlette(routes=ROUTES, middleware=[Middleware(ClosedRoutes)], lifespan=_lifespan)
    made.state.pages = Pages()
    return made


app = build()
