from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import SecretStr

from graph.budget import Spent
from graph.errors import BadSetting, ModelFailed
from graph.models import Question, Reply
from services.endpoints import endpoints_of
from services.faults import CutStream, failure_line, whole
from services.members import KEPT_BINDINGS, Member
from services.models import KEPT_MEMBERS, ModelChain
from services.scripted import ScriptedModel
from services.settings import load
from tests.budgets import budget, spent_of

HELLO = Question(messages=[HumanMessage("hello there")])


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, no keys."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "BALLAST_MODEL", "BALLAST_PRICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _chain(**settings: Any) -> ModelChain:
    loaded = load(**settings)
    return ModelChain(loaded, endpoints_of(loaded))


@pytest.fixture
def chain() -> ModelChain:
    return _chain()


def _script(name: str, text: str) -> str:
    Path(name).write_text(text, "utf-8")
    return f"scripted:{name}"


def _tool(name: str = "look") -> BaseTool:
    async def look() -> str:
        return ""

    return StructuredTool.from_function(coroutine=look, name=name, description="Look.")


async def test_the_first_that_answers_wins_and_failed_attempts_are_charged(chain: ModelChain) -> None:
    price = "price: {input_per_mtok: 1, output_per_mtok: 2}"
    bad = _script("bad.yaml", f"turns: [{{error: rate_limit, usage: {{input_tokens: 1000000}}}}]\n{price}")
    good = _script("good.yaml", f"turns: [{{content: hi, usage: {{input_tokens: 10, output_tokens: 20}}}}]\n{price}")
    one = budget()
    reply = await chain.complete(f" {bad} , {good},offline", HELLO, budget=one)
    assert reply.message.text == "hi"
    assert reply.model == good
    charged = spent_of(one)
    assert (charged.calls, charged.prompt_tokens, charged.completion_tokens) == (2, 1_000_010, 20)
    assert charged.cost_usd == pytest.approx(1.00005)
    assert reply.failures == (f"{bad}: rate_limit: 429, too many requests (scripted)",)


async def test_when_all_fail_each_has_its_line_and_the_cost_is_known(chain: ModelChain) -> None:
    members = [
        _script(f"{kind}.yaml", f"turns: [{{error: {kind}}}]") for kind in ("timeout", "server_error", "malformed_json")
    ]
    one = budget()
    with pytest.raises(ModelFailed) as failed:
        await chain.complete(",".join(members), HELLO, budget=one)
    assert [line.partition(": ")[0] for line in failed.value.reasons] == members
    assert spent_of(one) == Spent(calls=3)


async def test_a_fallback_script_is_asked_for_the_turn_its_primary_failed_at(chain: ModelChain) -> None:
    primary = _script("primary.yaml", "turns: [{content: p0}, {error: server_error}, {content: p2}]")
    fallback = _script("fallback.yaml", "turns: [{content: f0}, {content: f1}]")
    questions = [replace(HELLO, turn=turn) for turn in range(3)]
    replies = [await chain.complete(f"{primary},{fallback}", one, budget=budget()) for one in questions]
    played = [reply.message.text for reply in replies]
    assert played == ["p0", "f1", "p2"]


async def test_a_script_that_is_over_fails_and_names_the_turn(chain: ModelChain) -> None:
    name = _script("short.yaml", "turns: [{content: one}]")
    with pytest.raises(ModelFailed) as failed:
        await chain.complete(name, replace(HELLO, turn=1), budget=budget())
    assert failed.value.reasons == [f"{name}: script has 1 turn, turn 2 was asked for"]


async def test_each_reply_has_an_id_of_its_own_and_usage(chain: ModelChain) -> None:
    name = _script("same.yaml", "turns: [{content: the same words}]")
    first, second = [await chain.complete(name, HELLO, budget=budget()) for _ in range(2)]
    assert first.message.id
    assert first.message.id != second.message.id
    assert first.message.usage_metadata == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}


async def test_the_summarizer_is_answered_by_every_kind_without_a_turn(chain: ModelChain) -> None:
    name = _script("agent.yaml", "turns: [{content: agent}]")
    asked = replace(HELLO, role="summarizer")
    texts: list[Reply] = [await chain.complete(member, asked, budget=budget()) for member in ("offline", name)]
    assert [reply.message.text for reply in texts] == ["hello there", "hello there"]


async def test_offline_costs_nothing(chain: ModelChain) -> None:
    one = budget()
    reply = await chain.complete("offline", replace(HELLO, tools=[_tool()]), budget=one)
    assert "not a language model" in reply.message.text
    charged = spent_of(one)
    assert (charged.cost_usd, charged.prompt_tokens) == (0, 2)


async def test_a_script_is_read_again_when_it_changes_and_only_then(chain: ModelChain) -> None:
    name = _script("s.yaml", "turns: [{content: old}]")
    assert (await chain.complete(name, HELLO, budget=budget())).message.text == "old"
    built = chain._member(name)
    assert chain._member(name) is built
    _script("s.yaml", "turns: [{content: new words}]")
    assert (await chain.complete(name, HELLO, budget=budget())).message.text == "new words"


def test_the_caches_are_bounded(chain: ModelChain, folder: Path) -> None:
    for number in range(KEPT_MEMBERS + 5):
        chain.check(_script(f"{number}.yaml", "turns: []"))
    assert len(chain._members) == KEPT_MEMBERS
    member = chain._member("offline")
    for number in range(KEPT_BINDINGS + 5):
        member._binding([_tool(f"t{number}")])
    assert len(member._bound) == KEPT_BINDINGS
    assert folder.exists()


def test_tools_are_bound_once(chain: ModelChain) -> None:
    member, tools = chain._member("offline"), [_tool()]
    bound = member._binding(tools)
    assert member._binding(list(tools)) is bound
    assert member._binding([_tool()]) is not bound
    assert member._binding([]).runnable is member.model


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpt-4o", "unknown model 'gpt-4o' in BALLAST_MODEL (or --model): the forms are openai:NAME, "),
        ("openai:", "unknown model 'openai:'"),
        ("scripted:", "unknown model 'scripted:'"),
        ("offline:x", "unknown model 'offline:x'"),
        ("offline,,offline", "model chain 'offline,,offline' has an empty member"),
        (" ", "model chain ' ' has an empty member"),
        ("offline,openai:gpt-4o", "model openai:gpt-4o needs OPENAI_API_KEY"),
        ("scripted:none.yaml", "can't read script none.yaml"),
    ],
)
async def test_a_chain_that_can_not_run_is_refused_in_one_line(chain: ModelChain, text: str, told: str) -> None:
    with pytest.raises(BadSetting) as refused:
        chain.check(text)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)
    with pytest.raises(BadSetting):
        await chain.complete(text, HELLO, budget=budget())


def test_an_unknown_price_is_refused_and_says_how_to_give_it() -> None:
    key = SecretStr("sk-x")
    with pytest.raises(BadSetting, match="BALLAST_PRICES='my-own=INPUT/OUTPUT'"):
        _chain(openai_api_key=key).check("openai:my-own")
    _chain(openai_api_key=key, prices="my-own=0/0").check("openai:my-own")


async def test_a_model_that_never_answers_is_given_up() -> None:
    _script("slow.yaml", "turns: [{content: late, delay_s: 30}]")
    script = ScriptedModel.from_file(Path("slow.yaml"))
    slow = Member(name="slow", model=script, usd=lambda _: 0.0, timeout_s=0.01, foretelling=script)
    with pytest.raises(TimeoutError, match=r"no whole reply within 0\.01 s"):
        await slow.ask(HELLO, reply_tokens=10)


def test_a_reply_without_an_end_is_a_cut_stream() -> None:
    with pytest.raises(CutStream):
        whole(AIMessage("half of"))


@pytest.mark.parametrize(
    "told",
    [
        "Incorrect API key provided: sk-proj-abcdef123456",
        "the key my-plain-secret is wrong",
        "Bearer eyJhbGciOi.abc.def refused",
        "can't reach http://user:hunter2@host/v1",
    ],
)
def test_no_key_is_ever_told(told: str) -> None:
    line = failure_line("openai:x", RuntimeError(f"{told}\nand more"), secrets=["my-plain-secret"])
    assert "\n" not in line
    assert not any(word in line for word in ("abcdef123456", "my-plain-secret", "eyJhbGciOi", "hunter2"))
