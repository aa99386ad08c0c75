from __future__ import annotations

import io

import pytest
from langchain_core.messages import AIMessage
from rich.console import Console

from app import show
from app.progress import Progress
from app.visible import visible, visible_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé, 日本語, 🙂", "plain, ünïcödé, 日本語, 🙂"),
        ("a\xa0b\u3000c ❤\ufe0f", "a\xa0b\u3000c ❤\ufe0f"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b2J\x7f\r", r"\x9b2J\x7f\r"),
        ("pay \u202e001", r"pay \u202e001"),
        ("a\u200bb\ufeff\u2066", r"a\u200bb\ufeff\u2066"),
        ("\u3164\u2800\U000e0041\U000e0101", r"\u3164\u2800\U000e0041\U000e0101"),
        ("one\ntwo\tthree", r"one\ntwo\tthree"),
        ("\udcff", r"\udcff"),
    ],
)
def test_what_would_act_on_a_terminal_or_hide_is_spelt_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_text_of_several_lines_keeps_its_lines() -> None:
    assert visible_text("one\n\ttwo\x1b[2J") == "one\n\ttwo\\x1b[2J"


EVIL = "\x1b[2J\x9b1A\u202e\u200b"
RESULT = {
    "thread_id": "t",
    "outcome": "awaiting_approval",
    "answer": f"line one\nline two {EVIL}",
    "usage": {"iterations": 1, "tool_calls": 0, "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.0},
    "totals": {"runs": 2, "prompt_tokens": 3, "completion_tokens": 4, "cost_usd": 0.5},
    "approvals": [{"id": "ap-1", "tool": "send_email", "risk": "medium", "status": "pending", "args": {"to": EVIL}}],
}


def _harmless(told: str) -> None:
    assert not set(EVIL) - set("[2J1A") & set(told)
    assert r"\u202e" in told


def test_an_answer_and_the_arguments_to_approve_can_not_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show.run_result(RESULT)
    show.record({"args": {"to": EVIL}, "reason": EVIL, "names": [EVIL]})
    show.table("args", "tool")([{"args": {"to": EVIL}, "tool": EVIL}])

    told = capsys.readouterr().out
    _harmless(told)
    assert "line one\nline two " in told


def test_progress_can_not_act_on_the_terminal_nor_add_lines_of_its_own() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, force_terminal=False))
    call = {"name": "send_email", "args": {f"to{EVIL}": EVIL}, "id": "c"}

    progress("reason", {"messages": [AIMessage(content="", tool_calls=[call])]})
    progress("reason", {"messages": [AIMessage(content=f"done {EVIL}")]})
    progress("reason", {"reason": "x\n             act  place_order: ok"})

    told = out.getvalue()
    _harmless(told)
    assert len(told.splitlines()) == 3


def test_brackets_in_a_table_are_text_and_no_markup() -> None:
    out = io.StringIO()
    rows = [{"args": {"to": "[conceal]ann@example.com[/conceal]"}}]

    Console(file=out, force_terminal=True, width=100).print(show.grid(["args"], rows))

    assert "[conceal]ann@example.com[/conceal]" in out.getvalue()
