from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import LIST, MAIL, ORDER, READ, calls, say

PROGRAM = Path(__file__).with_name("kill_points.py")
FIELDS = ("asked", "outcome", "answer", "usage", "messages", "mails", "approvals")


@pytest.mark.long
def test_a_run_killed_at_any_write_ends_as_if_it_had_not_been(
    database_url: str, workspace: Path, tmp_path: Path
) -> None:
    """SIGKILL before every single write of a checkpoint, in both halves of a run that reads, asks, acts and folds."""
    script = tmp_path / "script.yaml"
    turns = [calls(READ, LIST), calls(ORDER, MAIL, LIST), calls(READ), say("all done")]
    script.write_text(yaml.safe_dump({"turns": turns}))

    done = subprocess.run(
        [sys.executable, str(PROGRAM), database_url, str(workspace), str(script)],
        capture_output=True,
        text=True,
        check=True,
    )

    undisturbed, *cases = json.loads(done.stdout)
    killed = [case for case in cases if any(case["killed"])]
    assert (undisturbed["outcome"], undisturbed["mails"]) == ("completed", 1)
    assert len(killed) > 20
    assert [_differences(case, undisturbed) for case in killed] == [{}] * len(killed)
    extra = [_extra(case, undisturbed) for case in killed]
    assert any(calls for calls, _ in extra)
    assert all((calls > 0) == (tokens > 0) and calls in range(3) for calls, tokens in extra)
    assert all(case["effects"] and _once(case["effects"]) for case in cases)


def _differences(case: dict[str, Any], undisturbed: dict[str, Any]) -> dict[str, Any]:
    """By field; order numbers differ from run to run."""
    return {
        name: (case[name], undisturbed[name])
        for name in FIELDS
        if _unnumbered(case[name]) != _unnumbered(undisturbed[name])
    }


def _extra(case: dict[str, Any], undisturbed: dict[str, Any]) -> tuple[int, int]:
    """Model calls and tokens beyond the undisturbed run's: one whose process was killed was paid for."""
    calls, tokens = (case["spent"][name] - undisturbed["spent"][name] for name in ("model_calls", "prompt_tokens"))
    return calls, tokens


def _unnumbered(value: Any) -> str:
    text = json.dumps(value)
    start = text.find("ORD-")
    while start >= 0:
        text = f"{text[:start]}ORDER{text[start + 10 :]}"
        start = text.find("ORD-")
    return text


def _once(effects: list[list[Any]]) -> bool:
    return sorted(effect[0] for effect in effects) == ["place_order", "send_email"] and all(
        effect[1:3] == ["done", 1] for effect in effects
    )
