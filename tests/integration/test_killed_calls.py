"""A model call whose process is killed was paid for: the run that goes on knows it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkpoints.database import Pool
from graph.context import Context, LocalContext
from tests.integration.conftest import Script, say
from tests.integration.recording import runs_with
from tests.integration.test_spending import CALL, PRICE, PROGRAM, _spending


async def _killed_in_a_call(database_url: str, told: dict[str, Any]) -> bool:
    """SIGKILL the process once a model call is paid for; False when the run ended before it asked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, "run", database_url, json.dumps(told), stdout=subprocess.PIPE
    )
    assert process.stdout
    line = await process.stdout.readline()
    if line != b"asked\n":
        assert json.loads(line)["outcome"]
        await process.wait()
        return False
    process.kill()
    await process.wait()
    return True


@pytest.mark.long
async def test_a_call_whose_process_is_killed_again_and_again_ends_the_run_rather_than_spend_for_ever(
    database_url: str, tmp_path: Path, script: Script, pool: Pool
) -> None:
    hanging = {"content": "late", "delay_s": 60, "usage": {"input_tokens": 100, "output_tokens": 0}}
    context = script(hanging, lists={"price": PRICE}, max_usd=0.35, tenant="mine")
    told = {"home": str(tmp_path / "home"), "fields": context.kept()}

    kills = [await _killed_in_a_call(database_url, told) for _ in range(3)]

    async with runs_with(database_url, tmp_path / "home") as runs:
        report = await runs.resume("t", context=context)
    assert kills == [True, True, True]
    assert report["outcome"] == "stopped_cost"
    assert report["usage"]["model_calls"] == 3
    assert report["usage"]["cost_usd"] == pytest.approx(0.3)
    assert (await _spending(pool).today("mine"))[0] == pytest.approx(0.3)


def _hurry(context: LocalContext) -> None:
    """The script's model does not hang any more."""
    path = Path(context.model.removeprefix("scripted:"))
    path.write_text(path.read_text().replace("60", "0"))


async def test_a_killed_call_is_charged_to_the_run_that_goes_on(
    database_url: str, tmp_path: Path, script: Script, pool: Pool
) -> None:
    context = script(CALL, {**CALL, "delay_s": 60}, say("done"), lists={"price": PRICE}, tenant="mine")
    told = {"home": str(tmp_path / "home"), "fields": context.kept()}
    assert await _killed_in_a_call(database_url, told)
    _hurry(context)

    async with runs_with(database_url, tmp_path / "home") as runs:
        report = await runs.resume("t", context=context)

    assert report["outcome"] == "completed"
    assert (report["usage"]["iterations"], report["usage"]["model_calls"]) == (3, 4)
    assert (await _spending(pool).today("mine"))[0] == pytest.approx(report["usage"]["cost_usd"])


async def test_lost_calls_are_charged_to_a_run_its_tenants_cap_then_stops(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    hanging = {"content": "late", "delay_s": 60, "usage": {"input_tokens": 100, "output_tokens": 0}}
    context = script(hanging, lists={"price": PRICE}, tenant="mine")
    assert await _killed_in_a_call(database_url, {"home": str(tmp_path / "home"), "fields": context.kept()})
    async with runs_with(database_url, tmp_path / "home", tenant_usd_per_day=0.15) as runs:
        report = await runs.resume("t", context=context)
    assert report["outcome"] == "stopped_cost"
    assert report["usage"]["cost_usd"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [({"max_usd": 0.05}, "stopped_cost"), ({"max_tokens": 50}, "stopped_tokens")],
)
async def test_a_killed_call_is_charged_also_when_the_run_that_goes_on_makes_none(
    database_url: str, tmp_path: Path, script: Script, change: dict[str, Any], outcome: str
) -> None:
    hanging = {"content": "late", "delay_s": 60, "usage": {"input_tokens": 100, "output_tokens": 0}}
    context = script(hanging, lists={"price": PRICE}, tenant="mine")
    assert await _killed_in_a_call(database_url, {"home": str(tmp_path / "home"), "fields": context.kept()})

    async with runs_with(database_url, tmp_path / "home") as runs:
        report = await runs.resume("t", context=Context(**change))

    assert report["outcome"] == outcome
    assert report["usage"]["model_calls"] == 1
    assert report["usage"]["cost_usd"] == pytest.approx(0.1)
