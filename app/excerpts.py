"""What a stranger wrote that an approval's arguments are from: the places, for a person to see beside the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import ToolMessage

from app.lifespan import Opened
from app.marking import Searchable, Span
from app.runs import Runs
from graph.approvals import Approval
from graph.errors import NotFound
from graph.results import Whole
from graph.state import State
from nodes.openable import handle_of, openable
from nodes.origins import MOST, REQUEST, from_outside, labelled, texts_in
from nodes.results_text import bare
from services.cleaning import is_wrapped

AROUND = 90
"""Characters shown on either side of a value."""

FOLDED = 20
"""Raw texts of results that left the history that are searched: the newest."""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """A place where a value of an argument stands."""

    argument: str
    tool: str
    handle: str | None
    """Of the raw text, where it is kept."""
    text: str
    span: Span
    """Of the value in `text`."""
    cut_before: bool
    cut_behind: bool


@dataclass(frozen=True, kw_only=True)
class _Place:
    """What was read: a result as the model saw it, or, once that is folded away, the raw text."""

    tool: str
    handle: str | None
    text: str


def outside_values(row: Approval) -> dict[str, list[str]]:
    """The texts of those arguments that stand in what came from outside, and not in the request."""
    origins = row.origins or {}
    return {
        name: list(texts_in(value))
        for name, value in row.args.items()
        if REQUEST not in origins.get(name, ()) and any(map(from_outside, origins.get(name, ())))
    }


async def excerpts(opened: Opened, runs: Runs, row: Approval) -> list[Excerpt]:
    """The newest places of each argument; none when the thread is gone."""
    values = outside_values(row)
    if not values:
        return []
    try:
        state: Any = (await runs.known(row.thread_id)).values
    except NotFound:
        return []
    search = _Search(opened=opened, thread_id=row.thread_id, state=state)
    return [one for name, texts in values.items() for one in await search.of(name, texts, (row.origins or {})[name])]


@dataclass(kw_only=True)
class _Search:
    """Looks for values in what a thread has read."""

    opened: Opened
    thread_id: str
    state: State
    _wholes: dict[str, Whole | None] = field(default_factory=dict)
    _searched: dict[str, Searchable] = field(default_factory=dict)

    async def of(self, argument: str, texts: Sequence[str], labels: Sequence[str]) -> list[Excerpt]:
        """Excerpts around the argument's texts, the newest first; `labels` are those of the places they stand in."""
        found: list[Excerpt] = []
        for text in dict.fromkeys(texts):
            for place in _results(self.state, labels):
                if len(found) < MOST and (one := await self._in(place, argument, text)):
                    found.append(one)
            if not found:
                found += [one for place in await self._folded() if (one := await self._at(place, argument, text))]
        return found[:MOST]

    async def _in(self, place: _Place, argument: str, text: str) -> Excerpt | None:
        """An excerpt of the raw text where the model's has the value, and of the model's where the raw one has not."""
        told = await self._at(place, argument, text)
        if told is None or place.handle is None:
            return told
        if place.handle not in self._wholes:
            self._wholes[place.handle] = await self.opened.results.opened(self.thread_id, place.handle)
        whole = self._wholes[place.handle]
        if whole is None:
            return told
        raw = _Place(tool=place.tool, handle=place.handle, text=whole.text)
        return await self._at(raw, argument, text) or told

    async def _folded(self) -> list[_Place]:
        wholes = await self.opened.results.newest(self.thread_id, openable(self.state)[-FOLDED:])
        return [_Place(tool=one.tool, handle=one.handle, text=one.text) for one in wholes]

    async def _at(self, place: _Place, argument: str, text: str) -> Excerpt | None:
        if place.text not in self._searched:
            self._searched[place.text] = await asyncio.to_thread(Searchable, place.text)
        span = next(self._searched[place.text].spans(text), None)
        return _around(place, argument, span) if span else None


def _results(state: State, labels: Sequence[str]) -> Iterator[_Place]:
    """What came from outside from one of these places and stands in the history, the newest first."""
    for label, message in labelled(state["messages"]):
        if label in labels and isinstance(message, ToolMessage) and is_wrapped(str(message.text)):
            yield _Place(tool=str(message.name), handle=handle_of(message), text=bare(str(message.text)))


def _around(place: _Place, argument: str, span: Span) -> Excerpt:
    start, end = max(0, span[0] - AROUND), span[1] + AROUND
    return Excerpt(
        argument=argument,
        tool=place.tool,
        handle=place.handle,
        text=place.text[start:end].replace("\r\n", " \n"),  # as long as it was: the span holds
        span=(span[0] - start, span[1] - start),
        cut_before=start > 0,
        cut_behind=end < len(place.text),
    )
