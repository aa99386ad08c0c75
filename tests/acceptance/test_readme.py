"""The README's commands are run; those that need a person's ids are checked against the command line."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from services.settings import Settings, variable
from tests.forks import Forks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _commands(language: str) -> list[str]:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("export", "#", "."))]


def test_there_are_commands_to_run() -> None:
    assert len(_commands("bash")) > 1
    assert len(_commands("sh")) > 8


@pytest.mark.parametrize("command", [one for one in _commands("bash") if one != "make test"])
def test_what_the_readme_runs_runs(command: str, database_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "BALLAST_MODEL": "offline"}

    done = subprocess.run(shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout


@pytest.mark.parametrize("command", [one for one in _commands("sh") if one.startswith("ballast")])
def test_every_command_and_option_the_readme_names_exists(command: str, forks: Forks) -> None:
    words = shlex.split(command)[1:]
    options = {word for word in words if word.startswith("-")}
    plain = [word for word in words if word.islower() and word.isalpha()]
    path = plain[:2] if plain[0] in {"approvals", "eval", "mcp", "token"} else plain[:1]

    shown = forks.run("-m", "app.cli", *path, "--help", env={**os.environ, "COLUMNS": "200", "TERM": "dumb"})

    assert shown.returncode == 0, shown.stderr
    assert {option for option in options if option not in shown.stdout} == set()


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_setting_is_in_the_table() -> None:
    undocumented = {"BALLAST_HOME", "BALLAST_PRICES", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    rows = set(re.findall(r"^\| `([A-Z_]+)`", README, re.MULTILINE))
    assert {variable(name) for name in Settings.model_fields} - undocumented <= rows
    assert all(name in README for name in undocumented)
