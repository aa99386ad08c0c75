"""Routes of `langgraph dev` that ask nobody who they are, closed."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

CLOSED = ("/internal/", "/deploy")
"""`/internal/debug/thread/ID` shows anybody's thread, `/internal/truncate` forgets all of them, `/deploy` starts a
deployment with this process's keys. They come before every route of an app, and before authentication."""


class ClosedRoutes:
    """ASGI middleware of `http.app`: those routes are not there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 there, pass on all else."""
        if scope["type"] == "http" and _path(scope).startswith(CLOSED):
            await JSONResponse({"detail": "Not Found"}, status_code=404)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _path(scope: Scope) -> str:
    """As routes see it: below the prefix the server is mounted at."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
