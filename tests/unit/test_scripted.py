from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from pydantic import BaseModel

from graph.errors import BadSetting
from services.scripted import ScriptedFailure, ScriptedModel, ScriptOver
from services.streamed import with_broken_calls_apart

ALL_KINDS = """
turns:
  - tool_calls: [{name: read_file, args: {path: notes.txt}}, {name: list_mail, id: mine}]
    usage: {input_tokens: 120, output_tokens: 15}
    delay_s: 0.001
  - raw_tool_calls: [{name: send_email, arguments: "{not json"}, {name: list_mail, arguments: '{"a": 1}'}]
  - error: empty
  - error: truncated
    content: "Half of"
  - content: "Done."
price: {input_per_mtok: 2.5, output_per_mtok: 10}
planner: [{content: later}]
extractor: [{content: later}]
judge: [{content: later}]
"""


def _model(folder: Path, text: str) -> ScriptedModel:
    file = folder / "script.yaml"
    file.write_text(text, "utf-8")
    return ScriptedModel.from_file(file)


async def _play(model: ScriptedModel, turn: int, **options: Any) -> AIMessage:
    return await model.ainvoke([HumanMessage("go on")], turn=turn, **options)


async def _streamed(model: ScriptedModel, turn: int) -> AIMessageChunk:
    chunks = [chunk async for chunk in model.astream([HumanMessage("go on")], turn=turn)]
    joined = chunks[0]
    for chunk in chunks[1:]:
        joined += chunk
    assert isinstance(joined, AIMessageChunk)
    return joined


async def test_calls_have_ids_that_repeat_at_every_replay(tmp_path: Path) -> None:
    model = _model(tmp_path, ALL_KINDS)
    for _ in range(2):
        reply = await _play(model, 0)
        assert [(c["id"], c["name"], c["args"]) for c in reply.tool_calls] == [
            ("call_0_0", "read_file", {"path": "notes.txt"}),
            ("mine", "list_mail", {}),
        ]
        assert reply.usage_metadata == {"input_tokens": 120, "output_tokens": 15, "total_tokens": 135}


async def test_broken_arguments_stay_broken_streamed_or_not(tmp_path: Path) -> None:
    model = _model(tmp_path, ALL_KINDS)
    whole = await _play(model, 1)
    for reply in (whole, with_broken_calls_apart(await _streamed(model, 1))):
        assert [call["name"] for call in reply.invalid_tool_calls] == ["send_email"]
        assert [call["args"] for call in reply.tool_calls] == [{"a": 1}]
        assert "Expecting" in str(reply.invalid_tool_calls[0]["error"])


async def test_empty_and_truncated_are_replies(tmp_path: Path) -> None:
    model = _model(tmp_path, ALL_KINDS)
    empty, truncated = await _play(model, 2), await _play(model, 3)
    assert (empty.text, empty.tool_calls) == ("", [])
    assert truncated.text == "Half of"
    assert truncated.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("kind", ["rate_limit", "timeout", "server_error", "malformed_json"])
async def test_failures_raise_with_what_they_cost(tmp_path: Path, kind: str) -> None:
    model = _model(tmp_path, f"turns: [{{error: {kind}, usage: {{input_tokens: 9}}}}]")
    with pytest.raises(ScriptedFailure, match=kind) as failed:
        await _play(model, 0)
    assert failed.value.usage is not None
    assert failed.value.usage.input_tokens == 9


async def test_a_turn_beyond_the_end_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptOver, match=r"^script has 5 turns, turn 6 was asked for$"):
        await _play(_model(tmp_path, ALL_KINDS), 5)


async def test_without_a_turn_it_counts_replies(tmp_path: Path) -> None:
    model = _model(tmp_path, "turns: [{content: one}, {content: two}]")
    assert (await model.ainvoke("hi")).text == "one"
    assert (await model.ainvoke([HumanMessage("hi"), AIMessage("one"), HumanMessage("more")])).text == "two"
    assert model.invoke("hi").text == "one"


async def test_it_streams_word_by_word_with_usage(tmp_path: Path) -> None:
    model = _model(tmp_path, 'turns: [{content: "one two  three\\n\\nfour", usage: {input_tokens: 3}}]')
    chunks = [chunk async for chunk in model.astream("hi", turn=0)]
    assert len(chunks) > 4
    joined = await _streamed(model, 0)
    assert joined.text == "one two  three\n\nfour"
    assert joined.usage_metadata == {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}


async def test_structured_output_comes_from_a_scripted_call(tmp_path: Path) -> None:
    class Verdict(BaseModel):
        """A verdict."""

        passed: bool

    model = _model(tmp_path, "turns: [{tool_calls: [{name: Verdict, args: {passed: true}}]}]")
    assert await model.with_structured_output(Verdict).ainvoke("hi") == Verdict(passed=True)


async def test_the_summarizer_never_takes_an_agents_turn(tmp_path: Path) -> None:
    plain = _model(tmp_path, "turns: [{content: agent}]")
    long = "x" * 500
    made = await plain.ainvoke([HumanMessage(f"a: 1\n\n{long}")], role="summarizer", turn=0)
    assert str(made.text).splitlines() == ["a: 1", "x" * 120 + "…"]
    own = _model(tmp_path, "turns: [{content: agent}]\nsummarizer: [{content: folded}]")
    assert (await _play(own, 0, role="summarizer")).text == "folded"


async def test_the_planner_has_turns_of_its_own(tmp_path: Path) -> None:
    model = _model(tmp_path, "turns: [{content: agent}]\nplanner: [{content: first}, {content: second}]")

    assert (await _play(model, 1, role="planner")).text == "second"
    assert (await _play(model, 0)).text == "agent"
    with pytest.raises(ScriptOver, match="script has 2 planner turns, turn 3 was asked for"):
        await _play(model, 2, role="planner")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("turns: [{content: a}, {contnt: b}]", ", turn 2, contnt: no such field"),
        (
            "turns: [{tool_calls: [{name: a}, {name: b, arg: {}}]}]",
            ", turn 1, tool_calls.2.arg: no such field",
        ),
        ("turns: [{}]", ", turn 1: needs content, tool_calls, raw_tool_calls or error"),
        ("turns: [{error: oops}]", ", turn 1, error: Input should be 'rate_limit'"),
        ("turns: [{error: empty, content: a}]", ", turn 1: only error: truncated goes with content"),
        ("turns: [{error: timeout, tool_calls: [{name: a}]}]", ", turn 1: error goes without tool_calls"),
        ("turns: [{content: a, delay_s: .inf}]", ", turn 1, delay_s: "),
        ("turns: [{content: a, usage: {input_tokens: -1}}]", ", turn 1, usage.input_tokens: "),
        ("turns: []\njudge: [{content: 1}]", ", judge turn 1, content: "),
        ("turns: []\nprice: {input_per_mtok: .nan}", ", price.input_per_mtok: "),
        ("turn: []", ", turns: Field required"),
        ("- a", " must be a mapping"),
        ("turns: [", " is not YAML: line "),
        ("turns: [{content: a}]\nturns: *x", " is not YAML: line 2: "),
    ],
)
def test_a_bad_script_is_one_line_with_turn_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadSetting) as refused:
        _model(tmp_path, text)
    line = str(refused.value)
    assert line.startswith(f"script {tmp_path}/script.yaml{told}")
    assert "\n" not in line


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"can't read script .*nowhere.yaml: No such file"):
        ScriptedModel.from_file(tmp_path / "nowhere.yaml")
    with pytest.raises(BadSetting, match=r"can't read script .*: Is a directory"):
        ScriptedModel.from_file(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match=r"binary.yaml is not UTF-8 text"):
        ScriptedModel.from_file(tmp_path / "binary.yaml")


async def test_the_summarizers_last_entry_stands_for_all_later_folds(tmp_path: Path) -> None:
    own = _model(tmp_path, "turns: [{content: agent}]\nsummarizer: [{content: one}, {content: two}]")

    assert [(await _play(own, fold, role="summarizer")).text for fold in range(4)] == ["one", "two", "two", "two"]
