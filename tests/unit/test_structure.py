"""Imports point down the folder list; the vocabulary may be imported by all and imports nothing of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["graph", "nodes", "tools", "checkpoints", "services"]
TOP = ["app", "evals", "benchmarks"]
VOCABULARY = {
    "graph.state", "graph.approvals", "graph.budget", "graph.models", "graph.context", "graph.errors", "graph.people",
    "graph.plan", "graph.records", "graph.tools", "graph.facts", "graph.results", "graph.guards", "graph.provenance",
    "graph.extracts",
}  # fmt: skip


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _files(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


def _ours(path: Path) -> set[str]:
    return {name for name in _imports(path) if name.split(".")[0] in (*ROOMS, *TOP)}


def _is_vocabulary(name: str) -> bool:
    return name in VOCABULARY or name.rpartition(".")[0] in VOCABULARY


@pytest.mark.parametrize("path", _files(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_the_list(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    below = ROOMS[ROOMS.index(room) :]

    upward = {
        name for name in _ours(path) if not _is_vocabulary(name) and name != "graph" and name.split(".")[0] not in below
    }

    assert upward == set()


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_the_vocabulary_imports_nothing_of_ours_but_itself(name: str) -> None:
    path = ROOT / f"{name.replace('.', '/')}.py"

    assert {one for one in _ours(path) if not _is_vocabulary(one) and one != "graph"} == set()


@pytest.mark.parametrize("path", _files(*ROOMS, *TOP), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", _files("graph", "nodes"), ids=lambda path: str(path.relative_to(ROOT)))
def test_nodes_and_graphs_read_no_environment(path: Path) -> None:
    assert not {"os", "dotenv"} & set(_imports(path))
