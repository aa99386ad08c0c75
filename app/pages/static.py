"""The style sheet, the script and the icon: from memory, under an address that holds their version."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.pages.site import pages_of
from graph.errors import NotFound


async def show(request: Request) -> Response:
    """GET /inbox/static/{name}. Anybody may: the login page needs it."""
    name = request.path_params["name"]
    asset = pages_of(request).assets.get(name)
    if asset is None:
        raise NotFound("file", name[:100])
    kept = "public, max-age=31536000, immutable" if request.url.query == asset.version else "no-store"
    return Response(asset.body, media_type=asset.media_type, headers={"cache-control": kept})
