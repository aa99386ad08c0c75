"""`BALLAST_MCP` as a user meets it: nothing before it was approved, nothing after it changed, one line for each."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Ballast, Script, one_line
from tests.integration.mcp_office import NOTE, READ, Office, config

if importlib.util.find_spec("langchain_mcp_adapters") is None:
    pytest.skip("needs the extra mcp", allow_module_level=True)

NAMES = ["mcp__desk__read", "mcp__desk__write_note"]


def _names(ballast: Ballast, path: str) -> list[str]:
    rows = json.loads(ballast("tools", "--json", BALLAST_MCP=path).stdout)
    return [row["name"] for row in rows if row["source"] == "mcp:desk"]


def _check(ballast: Ballast, path: str) -> str:
    done = ballast("doctor", "--json", BALLAST_MCP=path)
    [row] = [row for row in json.loads(done.stdout) if row["check"] == "mcp"]
    assert row["ok"] == (done.returncode == 0)
    return str(row["status"])


@pytest.mark.long
def test_a_server_is_looked_at_approved_used_changed_and_approved_again(
    ballast: Ballast, tmp_path: Path, script: Script
) -> None:
    desk = Office(tmp_path / "desk")
    desk.lists(READ, {**NOTE, "description": "Writes\x1b[2J\n  forged\tline"})
    path = str(config(tmp_path, desk))

    assert _names(ballast, path) == []
    assert "MCP server desk is not approved" in ballast("tools", BALLAST_MCP=path).stderr
    assert "'ballast mcp approve desk'" in _check(ballast, path)
    shown = ballast("mcp", "list", BALLAST_MCP=path).stdout
    assert "mcp__desk__read\tlow" in shown
    assert "\\x1b[2J forged line" in shown
    approved = ballast("mcp", "approve", "desk", BALLAST_MCP=path)
    assert (approved.returncode, approved.stdout.startswith("desk\tapproved\t")) == (0, True)
    assert _names(ballast, path) == NAMES
    assert _check(ballast, path).startswith("desk: 2 tools, approved by ")

    desk.lists(READ)
    model = script({"tool_calls": [{"name": NAMES[0], "args": {"id": 1}}]}, {"content": "done"})
    ran = ballast("run", "go", "--model", model, "--json", BALLAST_MCP=path)
    assert json.loads(ran.stdout)["outcome"] == "completed"
    assert "tool 'write_note' is gone" in _check(ballast, path)
    assert _names(ballast, path) == []
    [seen] = json.loads(ballast("mcp", "list", "--json", BALLAST_MCP=path).stdout)
    assert (seen["status"], seen["changes"]) == ("changed", ["tool 'write_note' is gone"])
    assert "  ! tool 'write_note' is gone" in ballast("mcp", "list", BALLAST_MCP=path).stdout
    again = ballast("mcp", "approve", "desk", "--listing", seen["digest"], BALLAST_MCP=path)
    assert again.returncode == 0
    assert _names(ballast, path) == NAMES[:1]


def test_what_can_t_be_done_is_one_line(ballast: Ballast, tmp_path: Path) -> None:
    dead = Office(tmp_path / "dead")
    dead.config = {"command": ["no-such-program"]}
    path = str(config(tmp_path, dead))

    one_line(ballast("mcp", "list", BALLAST_MCP=""), 2, "no MCP server is configured: set BALLAST_MCP")
    one_line(ballast("mcp", "approve", "dask", BALLAST_MCP=path), 2, "no MCP server 'dask'")
    one_line(ballast("mcp", "approve", "desk", BALLAST_MCP=path), 1, "MCP server desk can't be reached")
    one_line(ballast("tools", BALLAST_MCP=str(tmp_path / "gone.yaml")), 2, "gone.yaml: there is no such file")
    assert "can't be reached" in ballast("mcp", "list", BALLAST_MCP=path).stdout
