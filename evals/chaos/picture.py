"""What is left of a run: its state, the ledger and the world, and how that differs from an undisturbed one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CHECKED_BY_ITS_TOOL = frozenset({"send_email"})
"""A doubt about these need not reach a person: the tool can tell whether it happened."""

VARYING = re.compile(r"ORD-\d+|[0-9a-f]{64}")
"""Order numbers and keys: made by the database, and from the thread."""

Kind = Literal["lost", "duplicated", "missing", "stuck", "in doubt", "over limit"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that must not happen."""

    kind: Kind
    what: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A run that has ended, in JSON values."""

    outcome: str | None
    answer: str
    messages: Sequence[Mapping[str, Any]]
    """{"type", "text", "calls": [{"id", "name", "args"}], "call_id", "status"}."""
    approvals: Sequence[Mapping[str, Any]]
    """{"tool", "args", "status", "effect_key"}, oldest first."""
    usage: Mapping[str, Any]
    effects: Sequence[Mapping[str, Any]]
    """The ledger's rows: {"key", "tool", "args", "state"}."""
    world: Sequence[Sequence[Any]]
    """What really happened: [tool, arguments in short], one entry each time."""
    tasks: Sequence[Mapping[str, Any]] = ()
    """Of a plan: {"id", "tool", "stands", "text"}."""


def compare(ended: Picture, undisturbed: Picture, doubts: Mapping[str, str], asked: int) -> list[Problem]:
    """What went wrong. `doubts`: key and tool of every effect that a cut-off attempt left open.

    `asked`: model calls that were cut off before they can have been stored, at most; only they may have cost more.
    """
    return [
        *_world(ended, undisturbed),
        *_ledger(ended, undisturbed),
        *_doubts(ended, doubts),
        *_state(ended, undisturbed, doubts, _planned if undisturbed.tasks else _told),
        *_spend(ended.usage, undisturbed.usage, asked, in_doubt=bool(doubts)),
    ]


def _world(ended: Picture, undisturbed: Picture) -> Iterator[Problem]:
    happened, wanted = Counter(map(_text, ended.world)), Counter(map(_text, undisturbed.world))
    for one, count in (happened - wanted).items():
        yield Problem(kind="duplicated", what=f"{one} happened {count} too often")
    for one, count in (wanted - happened).items():
        yield Problem(kind="missing", what=f"{one} happened {count} too seldom")


def _ledger(ended: Picture, undisturbed: Picture) -> Iterator[Problem]:
    """The ledger says what the world says."""
    found, wanted = (
        Counter(_text([e["tool"], e["args"], e["state"]]) for e in p.effects) for p in (ended, undisturbed)
    )
    if found != wanted:
        yield Problem(kind="lost", what=f"ledger: {_difference(found, wanted)}")


def surfaced(ended: Picture, doubts: Mapping[str, str]) -> set[str]:
    """Keys of the effects in doubt that a person was asked about, or that the tool's own check settled."""
    shown = {row["effect_key"] for row in ended.approvals}
    settled = {row["key"] for row in ended.effects if row["state"] == "done"}
    return {key for key, tool in doubts.items() if key in shown or (tool in CHECKED_BY_ITS_TOOL and key in settled)}


def _doubts(ended: Picture, doubts: Mapping[str, str]) -> Iterator[Problem]:
    for key in doubts.keys() - surfaced(ended, doubts):
        yield Problem(kind="in doubt", what=f"{doubts[key]} was in doubt and nobody was asked")


def _state(
    ended: Picture, undisturbed: Picture, doubts: Mapping[str, str], told: Callable[[Picture, set[str]], list[str]]
) -> Iterator[Problem]:
    if ended.outcome != undisturbed.outcome:
        yield Problem(kind="lost", what=f"outcome {ended.outcome}, undisturbed {undisturbed.outcome}")
    if ended.answer != undisturbed.answer:
        yield Problem(kind="lost", what=f"answer {ended.answer!r}, undisturbed {undisturbed.answer!r}")
    unsure = {_text([e["tool"], e["args"]]) for e in ended.effects if e["key"] in doubts}
    for position, (one, other) in enumerate(zip(told(ended, unsure), told(undisturbed, unsure), strict=False)):
        if one != other:
            yield Problem(kind="lost", what=f"message {position}: {one}, undisturbed {other}")
            break
    else:
        counts = [len(told(picture, unsure)) for picture in (ended, undisturbed)]
        if counts[0] != counts[1]:
            yield Problem(kind="lost", what=f"{counts[0]} messages for {counts[1]}")
    asked, wanted = (
        Counter(_text([row["tool"], row["args"], row["status"]]) for row in picture.approvals if not row["effect_key"])
        for picture in (ended, undisturbed)
    )
    if asked != wanted:
        yield Problem(kind="lost", what=f"approvals: {_difference(asked, wanted)}")


def _told(picture: Picture, unsure: set[str]) -> list[str]:
    """The messages as text, each result behind its call, as the model is shown them.

    A result that was in doubt may be told in other words, not with another status.
    """
    names = {call["id"]: _text([call["name"], call["args"]]) for m in picture.messages for call in m["calls"]}
    return [
        _text({**message, "text": "(settled)"} if names.get(message["call_id"]) in unsure else dict(message))
        for message in _paired(picture.messages)
    ]


def _planned(picture: Picture, unsure: set[str]) -> list[str]:
    """What was said in its order, how each task ended, and whether the history can be sent to a provider.

    In which pass a task ran, and so what was folded, depends on when a person decides.
    """
    said = [_text([one["type"], one["text"]]) for one in picture.messages if one["type"] != "tool" and not one["calls"]]
    settled = {json.loads(one)[0] for one in unsure}
    ended = [
        _text([{**task, "text": "(settled)"} if task["tool"] in settled else dict(task)]) for task in picture.tasks
    ]
    asked = Counter(call["id"] for message in picture.messages for call in message["calls"])
    given = Counter(message["call_id"] for message in picture.messages if message["type"] == "tool")
    return [
        *said,
        *sorted(ended),
        f"{(asked - given).total()} calls without a result, {(given - asked).total()} results without a call",
    ]


def _paired(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    results = {message["call_id"]: message for message in messages if message["type"] == "tool"}
    for message in messages:
        if message["type"] != "tool":
            yield message
            yield from (results[call["id"]] for call in message["calls"] if call["id"] in results)


def _spend(found: Mapping[str, Any], wanted: Mapping[str, Any], asked: int, *, in_doubt: bool) -> Iterator[Problem]:
    """Only what killed calls cost may come on top. A call in doubt may be counted again when it is tried again."""
    exact = ["iterations"] if in_doubt else ["iterations", "tool_calls"]
    for name in exact:
        if found[name] != wanted[name]:
            yield Problem(kind="lost", what=f"{name} {found[name]}, undisturbed {wanted[name]}")
    more = found["model_calls"] - wanted["model_calls"]
    spent = [found[name] - wanted[name] for name in ("prompt_tokens", "completion_tokens")]
    if not 0 <= more <= asked or min(spent) < 0 or (not more and any(spent)):
        yield Problem(kind="lost", what=f"spend: {more} model calls and {spent} tokens on top, {asked} were cut off")


def _difference(found: Counter[str], wanted: Counter[str]) -> str:
    parts = [f"{sign}{one}" for sign, rest in (("+", found - wanted), ("-", wanted - found)) for one in rest.elements()]
    return ", ".join(parts)


def _text(value: Any) -> str:
    return VARYING.sub("#", json.dumps(value, sort_keys=True, ensure_ascii=False))
