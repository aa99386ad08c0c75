"""What `langgraph.json` names as `http.app`: our own part of the server."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.closed_routes import ClosedRoutes

app = Starlette(middleware=[Middleware(ClosedRoutes)])
