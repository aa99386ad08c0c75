"""What an MCP server lists: its tools as they are pinned, compared, named and marked. Nothing here connects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graph.errors import ToolUnavailable
from graph.state import Risk
from services.invisible import without_invisible
from services.mcp_file import Server
from tools.base import Marks

MOST_TOOLS = 200
MAX_CHARS = 1_000_000
"""Longest listing, as JSON."""
DESCRIPTION_CHARS = 4_000

PREFIX = "mcp__"
"""How the names of all tools of MCP servers begin."""

NAME_CHARS = 64
"""Longest name of a tool that providers take."""
_ODD = re.compile(r"[^A-Za-z0-9_-]")

PARTS = ("description", "schema", "annotations")
"""What is pinned of a tool besides its name."""


class BadListing(ToolUnavailable):
    """A listing that is not taken at all: it floods, or can't be told apart or stored."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One tool as its server lists it."""

    name: str
    description: str
    schema: Any
    annotations: Mapping[str, Any]

    @property
    def shape(self) -> dict[str, Any]:
        """All that is pinned."""
        return {"name": self.name, **{part: getattr(self, part) for part in PARTS}}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the shape, in hexadecimal."""
        return _sha256(json.dumps(self.shape, sort_keys=True, allow_nan=False))

    @property
    def told(self) -> str:
        """The description as the model reads it: nothing in it that a person would not see."""
        return without_invisible(self.description)[:DESCRIPTION_CHARS] or self.name


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All tools of a server, by name."""

    tools: Mapping[str, Listed]

    @cached_property
    def digest(self) -> str:
        """The same for the same tools, in whichever order."""
        return _sha256("\n".join(sorted(one.digest for one in self.tools.values())))

    @cached_property
    def text(self) -> str:
        """As it is stored; `parsed` reads it."""
        rows = [{**one.shape, "digest": one.digest} for one in self.tools.values()]
        return json.dumps(rows, allow_nan=False)

    def changes_to(self, other: Listing) -> list[str]:
        """In words: what `other` has otherwise."""
        before, after = self.tools, other.tools
        told = [f"tool {name!r} is new" for name in after if name not in before]
        told += [f"tool {name!r} is gone" for name in before if name not in after]
        for name in before.keys() & after.keys():
            mine, theirs = before[name].shape, after[name].shape
            told += [f"the {part} of tool {name!r} changed" for part in PARTS if _differ(mine[part], theirs[part])]
        return sorted(told)


def _differ(one: Any, other: Any) -> bool:
    """As JSON: to Python, True is 1."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)


def listing_of(tools: Sequence[Listed]) -> Listing:
    """A listing that may be shown, stored and compared.

    Raises:
        BadListing: see there.
    """
    if len(tools) > MOST_TOOLS:
        raise BadListing(f"lists over {MOST_TOOLS} tools")
    made = Listing(tools={one.name: one for one in tools})
    if len(made.tools) != len(tools):
        raise BadListing("lists two tools of one name")
    try:
        size = len(made.text)
    except (ValueError, RecursionError):
        raise BadListing("lists what is no JSON") from None
    if size > MAX_CHARS:
        raise BadListing(f"lists over {MAX_CHARS} characters")
    return made


def parsed(text: str) -> Listing:
    """What `Listing.text` gave."""
    rows = [{key: value for key, value in row.items() if key != "digest"} for row in json.loads(text)]
    return Listing(tools={row["name"]: Listed(**row) for row in rows})


def offered_name(server: str, tool: str) -> str:
    """`mcp__SERVER__TOOL`: none of ours, no other server's, and none that only looks like one.

    A name that providers would not take as it is, or would cut, ends in a digest of it.
    """
    made = f"{PREFIX}{server}__{_ODD.sub('_', tool)}"
    if not _ODD.search(tool) and len(made) <= NAME_CHARS:
        return made
    return f"{made[: NAME_CHARS - 9]}_{_sha256(tool)[:8]}"


def marks_of_listed(
    server: str,
    settings: Server,
    annotations: Mapping[str, Any],
    *,
    gone: Callable[[], str | None] | None = None,
) -> Marks:
    """What a server's hints come to, which a person approved with its listing. What it leaves out counts against it."""
    hint = {key: annotations.get(key) is True for key in ("readOnlyHint", "destructiveHint", "idempotentHint")}
    closed = annotations.get("openWorldHint") is False
    risk, reason = _tier(reads=hint["readOnlyHint"], closed=closed, destroys=hint["destructiveHint"])
    return Marks(
        risk=risk,
        reason=reason,
        untrusted_output=True,
        idempotent=hint["idempotentHint"] or (hint["readOnlyHint"] and not hint["destructiveHint"]),
        timeout_s=2 * settings.connect_s + settings.timeout_s,  # to start, to list its tools, and to answer
        host=lambda _args: f"mcp:{server}",
        exits=settings.url is not None,
        source=f"mcp:{server}",
        gone=gone,
    )


def _tier(*, reads: bool, closed: bool, destroys: bool) -> tuple[Risk, str]:
    if destroys:
        return "critical", "its MCP server says that it may destroy something"
    if reads and closed:
        return "low", "its MCP server says that it only reads, and nothing outside"
    if reads:
        return "high", "its MCP server says that it only reads, but not that it stays in the house"
    return "high", "its MCP server does not say that it only reads"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
