"""Where an approval's values stand: in the raw text where it is kept, else in what the model saw, folded or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from app.excerpts import Excerpt, excerpts
from checkpoints.database import Pool
from checkpoints.results import PostgresResults
from checkpoints.serde import serializer
from graph.approvals import Approval
from graph.errors import NotFound
from graph.results import Whole
from nodes.openable import WHOLE
from services.cleaning import wrapped

LABEL = "read_mail (from outside)"
ROW = Approval(
    id="ap-1",
    thread_id="t",
    interrupt_id="i",
    call_id="c",
    tool="pay_invoice",
    args={"iban": "DE89 3704", "payee": "Ann", "amount": 5},
    risk="high",
    reason="because",
    deadline=None,
    status="pending",
    origins={"iban": [LABEL], "payee": ["the request", LABEL], "amount": ["the model"]},
)


@pytest.fixture
def kept(pool: Pool) -> PostgresResults:
    return PostgresResults(pool, serializer(None))


async def _found(
    kept: PostgresResults, *messages: Any, facts: tuple[Any, ...] = (), row: Approval = ROW
) -> list[Excerpt]:
    state = {"messages": list(messages), "facts": list(facts)}

    async def known(_thread: str) -> Any:
        return SimpleNamespace(values=state)

    opened: Any = SimpleNamespace(results=kept)
    runs: Any = SimpleNamespace(known=known)
    return await excerpts(opened, runs, row)


def _read(text: str, *, handle: str | None = None, tool: str = "read_mail") -> ToolMessage:
    content = wrapped(text, source=tool, warnings=[])
    return ToolMessage(content, tool_call_id="c", name=tool, artifact={WHOLE: handle} if handle else None)


def _told(found: list[Excerpt]) -> list[tuple[str, str, str | None]]:
    return [(one.argument, one.text[slice(*one.span)], one.handle) for one in found]


async def test_only_what_is_from_outside_and_not_said_by_a_person_is_looked_for(kept: PostgresResults) -> None:
    mail, other = _read("Ann: 5 to DE89  3704."), _read("DE89 3704", tool="get_page")

    found = await _found(kept, HumanMessage("pay Ann to DE89 3704"), other, mail)

    assert _told(found) == [("iban", "DE89  3704", None)]
    assert found[0].text == "Ann: 5 to DE89  3704."
    assert (found[0].cut_before, found[0].cut_behind) == (False, False)


async def test_the_raw_text_is_shown_where_it_has_the_value_and_else_what_the_model_saw(kept: PostgresResults) -> None:
    raw, differs = (
        Whole(tool="read_mail", text=f"{'x ' * 90}{words}{' y' * 90}") for words in ("de89\r\n3704", "none")
    )
    await kept.keep("t", [raw, differs], claim=None)
    gone = "r-gone"

    found = await _found(kept, *(_read("to DE89 3704", handle=one) for one in (gone, differs.handle, raw.handle)))

    assert _told(found) == [
        ("iban", "de89 \n3704", raw.handle),
        ("iban", "DE89 3704", differs.handle),
        ("iban", "DE89 3704", gone),
    ]
    assert (found[0].cut_before, found[0].cut_behind) == (True, True)


async def test_what_was_folded_away_is_found_in_its_raw_text(kept: PostgresResults) -> None:
    raw, foreign = Whole(tool="read_mail", text="pay DE89 3704"), Whole(tool="read_mail", text="or DE89 3704")
    await kept.keep("t", [raw], claim=None)
    await kept.keep("u", [foreign], claim=None)
    facts = tuple({"kind": "result", "text": one.handle} for one in (raw, foreign))

    assert _told(await _found(kept, facts=facts)) == [("iban", "DE89 3704", raw.handle)]


async def test_of_a_thread_that_is_gone_there_is_none(kept: PostgresResults) -> None:
    async def known(thread: str) -> Any:
        raise NotFound("thread", thread)

    opened: Any = SimpleNamespace(results=kept)
    runs: Any = SimpleNamespace(known=known)

    assert await excerpts(opened, runs, ROW) == []
