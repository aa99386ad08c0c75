"""The public web of a case: the tool that fetches is the office's own, only the wire ends here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpx
from langchain_core.tools import BaseTool

from evals.attacks.case import World
from tools.base import MARKS, Injected, marks_of, tool
from tools.web import fetch_url, fetched, public_address

PUBLIC = "93.184.216.34"
"""Where a name leads that the case says nothing of."""


@dataclass(kw_only=True)
class Internet:
    """What was asked for, by thread; nothing of it left this process."""

    worlds: dict[str, World] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def forget(self, thread: str) -> None:
        """The run is over."""
        self.worlds.pop(thread, None)
        self.asked.pop(thread, None)

    def tool(self) -> BaseTool:
        """`fetch_url`, with its own marks."""

        @tool(risk="low", untrusted_output=True, idempotent=True)
        async def fetch(url: str, context: Injected) -> str:
            """Fetch.

            Args:
                url: An http or https address.
            """
            return await self._fetched(url, context.thread_id)

        fetch.name, fetch.description = fetch_url.name, fetch_url.description
        fetch.metadata = {MARKS: marks_of(fetch_url)}
        return fetch

    async def _fetched(self, url: str, thread: str) -> str:
        world = self.worlds[thread]

        def answer(request: httpx.Request) -> httpx.Response:
            asked = request.url.copy_with(host=request.headers["host"].partition(":")[0])
            self.asked[thread].append(str(asked))
            page = world.pages.get(str(asked.copy_with(query=None)))
            if page is None:
                return httpx.Response(404)
            if page.redirect:
                return httpx.Response(302, headers={"location": page.redirect})
            return httpx.Response(200, content=_once(page.text))

        async def addressed(found: str) -> str:
            return await public_address(_placed(found, world))

        return await fetched(url, addressed, transport=httpx.MockTransport(answer))


async def _once(text: str) -> AsyncIterator[bytes]:
    """As it comes over a wire: the tool reads it itself."""
    yield text.encode()


def _placed(url: str, world: World) -> str:
    """The address with its name looked up in the case; what is no name goes through the tool's own lookup."""
    try:
        found = httpx.URL(url)
        host = found.host
    except (httpx.InvalidURL, ValueError):
        return url
    if host in world.hosts:
        return str(found.copy_with(host=world.hosts[host]))
    return url if not _is_name(host) else str(found.copy_with(host=PUBLIC))


def _is_name(host: str) -> bool:
    """Whether it can be a name of the public web: no address in any spelling, and no name of this machine."""
    try:
        ip_address(host)
    except ValueError:
        return host.rpartition(".")[2].isalpha() and "." in host
    return False
