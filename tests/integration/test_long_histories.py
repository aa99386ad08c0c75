"""The figures of long histories, from the same 200 iterations with 2 KB results each. None of them measures time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from app.lifespan import Opened
from graph.context import FOLD_SHARE
from graph.facts import Fact
from graph.state import State
from graph.tools import Step
from nodes.openable import openable
from services.tokens import PromptCount, of_tools
from services.windows import MOST_TOKENS
from tests.integration.conftest import Script
from tests.integration.long_history import DECISIONS, ITERATIONS, REQUEST, Needle, Played, needles, play
from tests.integration.tools_bench import a_call

pytestmark = pytest.mark.long

WINDOW, SHARE = 32_000, 0.5
UNBOUNDED = 100_000_000


@pytest.fixture
def untrusted() -> str:
    """Whole texts, as they are folded, cut and opened again."""
    return "marked"


async def test_by_default_a_history_takes_a_quarter_of_one_that_is_never_folded_and_grows_evenly(
    services: Opened, script: Script, workspace: Path
) -> None:
    folded = await play(services, script, workspace)
    whole = await play(services, script, workspace, thread="whole", window_tokens=UNBOUNDED)

    _check(services, folded, FOLD_SHARE * MOST_TOKENS)
    # With what the summaries themselves were made of.
    assert folded.report["usage"]["prompt_tokens"] <= 0.25 * whole.report["usage"]["prompt_tokens"]


async def test_so_it_does_by_count(services: Opened, script: Script, workspace: Path) -> None:
    _check(services, await play(services, script, workspace, keep_tool_results=5), FOLD_SHARE * MOST_TOKENS)


def _check(services: Opened, played: Played, share: float) -> None:
    """Each prompt stays under its share, their sum grows evenly, and so does what is stored."""
    count, tools = PromptCount(), of_tools(services.services.tools.offered())
    assert played.report["outcome"] == "completed"
    assert len(played.prompts) > ITERATIONS
    assert max(count.most(prompt, tools) for prompt in played.prompts) <= share
    assert _r_squared(list(accumulate(played.tokens))) >= 0.99
    first, second, third, last = (after - before for before, after in pairwise(played.stored))
    # From the first fold on each checkpoint names two channels more, and in the first quarter little is folded yet.
    assert max(third, last) <= 1.02 * second, (first, second, third, last)
    assert second <= 1.25 * first, (first, second)


async def test_what_is_pinned_stands_word_for_word_and_the_rest_is_found_again(
    services: Opened, script: Script, workspace: Path
) -> None:
    played = await play(services, script, workspace, window_tokens=WINDOW, fold_share=SHARE)
    prompt = played.last_prompt

    _check(services, played, SHARE * WINDOW)
    assert REQUEST in prompt
    assert "1. place_order: approved by a person" in prompt
    assert "2. place_order: edited by a person" in prompt
    assert 'what ran: {"item": "Desk lamp", "quantity": 1' in prompt
    assert f'3. place_order: rejected by a person; they said: "{DECISIONS[2]["message"]}"' in prompt
    assert f'4. place_order: responded by a person; they said: "{DECISIONS[3]["message"]}"' in prompt
    assert [needle.line for needle in needles() if needle.pinned and needle.line not in prompt] == []
    others = [needle for needle in needles() if not needle.pinned]
    state: State = (await played.runs.known("t")).values  # type: ignore[assignment]  # what a thread holds
    found = [one for one in others if one.line in prompt or await _opened(services, state, one)]
    assert len(found) >= 0.9 * len(others)
    assert len([one for one in others if one.line in prompt]) < 0.5 * len(others)  # most only by search
    await _check_not_told_anew(played, workspace)


async def _check_not_told_anew(played: Played, workspace: Path) -> None:
    """No fold sees what an earlier one wrote: after twenty of them each line is as it was in the result."""
    state = (await played.runs.known("t")).values
    logs = "\n".join(path.read_text() for path in (workspace / "logs").iterdir())
    facts: list[Fact] = state["facts"]
    assert {one["text"] for one in facts if one["kind"] == "value"} <= set(logs.splitlines())
    odd = [line for line in state["summary"].splitlines() if line.split("…")[0] not in logs]
    assert [
        line
        for line in odd
        if not line.startswith(("called ", "read_file returned", "place_order returned", "</untrusted>"))
    ] == []


async def _opened(services: Opened, state: State, needle: Needle) -> bool:
    """Whether the model gets the answer by asking for it."""
    call = a_call("open_result", handle="", part=1, search=needle.asked)
    step = Step(thread_id="t", workspace=services.settings.workspace, opens=openable(state))
    result = await services.services.tools.run(call, step, occurrence=0)
    return result.ok and needle.answer in result.text


def _r_squared(values: Sequence[float]) -> float:
    return statistics.correlation(range(len(values)), values) ** 2
