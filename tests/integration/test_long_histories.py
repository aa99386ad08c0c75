"""The figures of long histories, from the same 200 iterations with 2 KB results each. None of them measures time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from app.lifespan import Opened
from graph.context import FOLD_SHARE
from graph.facts import Fact
from graph.tools import Step
from services.tokens import PromptCount, of_tools
from services.windows import MOST_TOKENS
from tests.integration.conftest import Script
from tests.integration.long_history import DECISIONS, ITERATIONS, REQUEST, Needle, needles, play
from tests.integration.tools_bench import a_call

WINDOW, SHARE = 32_000, 0.5
UNBOUNDED = 100_000_000
SETTINGS: dict[str, dict[str, Any]] = {"by default": {}, "by count": {"keep_tool_results": 5}}


@pytest.mark.parametrize("settings", [*SETTINGS.values(), {"window_tokens": WINDOW, "fold_share": SHARE}])
async def test_each_prompt_stays_under_its_share_and_their_sum_grows_evenly(
    services: Opened, script: Script, workspace: Path, settings: dict[str, Any]
) -> None:
    played = await play(services, script, workspace, **settings)

    count, tools = PromptCount(), of_tools(services.services.tools.offered())
    share = settings.get("fold_share", FOLD_SHARE) * settings.get("window_tokens", MOST_TOKENS)
    assert played.report["outcome"] == "completed"
    assert len(played.prompts) > ITERATIONS
    assert max(count.most(prompt, tools) for prompt in played.prompts) <= share
    assert _r_squared(list(accumulate(played.tokens))) >= 0.99


async def test_all_prompts_together_are_a_quarter_of_those_of_a_history_that_is_never_folded(
    services: Opened, script: Script, workspace: Path
) -> None:
    folded = await play(services, script, workspace)
    whole = await play(services, script, workspace, thread="whole", window_tokens=UNBOUNDED)

    # With what the summaries themselves were made of.
    assert folded.report["usage"]["prompt_tokens"] <= 0.25 * whole.report["usage"]["prompt_tokens"]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_stored_bytes_an_iteration_stay_flat(
    services: Opened, script: Script, workspace: Path, settings: dict[str, Any]
) -> None:
    played = await play(services, script, workspace, **settings)

    quarters = [after - before for before, after in pairwise(played.stored)]
    assert len(quarters) == 4
    assert max(quarters) <= 1.2 * quarters[0], quarters


async def test_what_is_pinned_stands_word_for_word_and_the_rest_is_found_again(
    services: Opened, script: Script, workspace: Path
) -> None:
    played = await play(services, script, workspace, window_tokens=WINDOW, fold_share=SHARE)
    prompt = played.last_prompt

    assert REQUEST in prompt
    assert "1. place_order: approved by a person" in prompt
    assert '2. place_order: edited by a person; what ran: {"item": "Desk lamp", "quantity": 1' in prompt
    assert f'3. place_order: rejected by a person; they said: "{DECISIONS[2]["message"]}"' in prompt
    assert f'4. place_order: responded by a person; they said: "{DECISIONS[3]["message"]}"' in prompt
    assert [needle.line for needle in needles() if needle.pinned and needle.line not in prompt] == []
    others = [needle for needle in needles() if not needle.pinned]
    found = [one for one in others if one.line in prompt or await _opened(services, one)]
    assert len(found) >= 0.9 * len(others)
    assert len([one for one in others if one.line in prompt]) < 0.5 * len(others)  # most only by search


async def _opened(services: Opened, needle: Needle) -> bool:
    """Whether the model gets the answer by asking for it."""
    call = a_call("open_result", handle="", part=1, search=needle.asked)
    step = Step(thread_id="t", workspace=services.settings.workspace)
    result = await services.services.tools.run(call, step, occurrence=0)
    return result.ok and needle.answer in result.text


async def test_facts_are_never_told_anew(services: Opened, script: Script, workspace: Path) -> None:
    """No fold sees what an earlier one wrote: after twenty of them each line is as it was in the result."""
    played = await play(services, script, workspace, window_tokens=WINDOW, fold_share=SHARE)
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


def _r_squared(values: Sequence[float]) -> float:
    return statistics.correlation(range(len(values)), values) ** 2
