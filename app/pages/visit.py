"""A request to a page, once it is known who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.deciding import Desk
from app.lifespan import Opened
from app.pages import session
from app.pages.bodies import form_of
from app.pages.site import PART, pages_of
from app.server import engine
from graph.people import Person


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Who asks, for what, and what is open."""

    request: Request
    opened: Opened
    person: Person

    @property
    def desk(self) -> Desk:
        """The approvals as this person sees them."""
        return Desk(opened=self.opened, person=self.person)

    @property
    def part(self) -> str:
        """Which part of the page its own script asks for; empty for the whole page."""
        return self.request.headers.get(PART, "")

    def respond(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page or a part of one, with a form value that only this browser knows."""
        csrf = session.csrf_of(self.request)
        response = pages_of(self.request).respond(
            template, {"person": self.person, "csrf": csrf, **values}, status=status
        )
        session.remember(response, self.request, session.CSRF, csrf)
        return response

    async def form(self) -> dict[str, str]:
        """The form that was sent, if it is one of ours.

        Raises:
            Forbidden: it is not.
            HTTPException: it can't be read, or is too long.
        """
        form = await form_of(self.request)
        session.check_csrf(self.request, form)
        return form


async def visit(request: Request) -> Visit:
    """Find out who asks.

    Raises:
        Unauthorized: nobody is known by it.
        Forbidden: another site made the browser ask.
    """
    opened = await engine()
    return Visit(request=request, opened=opened, person=await session.person_of(request, opened))
