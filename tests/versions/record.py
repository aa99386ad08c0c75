"""Writes down threads as this release leaves them, for `test_released_versions.py` of every later one.

Run once a release, after its version is set and before the first change that follows:
`.venv/bin/python -m tests.versions.record`. It plays each thread of THREADS on an embedded Postgres of its own and
writes all their rows to `tests/versions/VERSION.json.gz`. A file that is there is never written again.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql
from psycopg.types.json import Json

from app.lifespan import Opened
from app.report import next_nodes
from app.runs import Runs
from evals.chaos.postgres import own_postgres
from graph.context import LocalContext
from tests.integration.conftest import DELETE, LIST, MAIL, ORDER, READ, TRUSTED, calls, say
from tests.integration.kill_points import NEVER, in_a_process

FOLDER = Path(__file__).parent
OFFICE = FOLDER.parents[1] / "examples/office"

# JSON, not JSONB: a person is shown the arguments in the tool's own order.
DUMP = "SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM {table} t WHERE thread_id = ANY(%s)"
LOAD = """
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)
"""
TABLES = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = current_schema() AND column_name = 'thread_id' ORDER BY table_name
"""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A thread, and where it is left."""

    turns: tuple[dict[str, Any], ...]
    next: str = ""
    """Killed when this is the next node. Empty: runs until it waits or ends."""
    stored: bool = False
    """That node's writes are stored, the checkpoint that holds them is not."""
    settings: dict[str, Any] = field(default_factory=dict)


THREADS = {
    "waits": Recording(turns=(calls(MAIL, ORDER, DELETE), say("All sent."))),
    "between": Recording(turns=(calls(TRUSTED), say("Looked up.")), next="reason"),
    "stored": Recording(turns=(calls(TRUSTED), say("Stored.")), next="act", stored=True),
    "ready": Recording(turns=(calls(TRUSTED), say("Ready.")), next="act"),
    "untrusted": Recording(turns=(calls(READ), say("Read.")), next="sanitize"),
    "finished": Recording(turns=(calls(LIST), say("Listed."))),
    "folded": Recording(
        turns=(calls(READ), calls(LIST), calls(TRUSTED), say("Folded.")),
        settings={"keep_tool_results": 1},
    ),
}


def main(path: Path) -> None:
    """Play, dump, write."""
    if path.exists():
        sys.exit(f"{path} is there: what a release wrote does not change")

    with own_postgres() as own, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "office"
        workspace.symlink_to(OFFICE)
        for name, recording in THREADS.items():
            script = Path(folder) / f"{name}.yaml"
            script.write_text(yaml.safe_dump({"turns": list(recording.turns)}))
            context = LocalContext(model=f"scripted:{script}", workspace=workspace, **recording.settings)
            _record(own.url, name, recording, context)
        path.write_bytes(gzip.compress(json.dumps(_dump(own.url)).encode(), mtime=0))


def _record(url: str, name: str, recording: Recording, context: LocalContext) -> None:
    if not recording.next:
        _play(url, name, context, NEVER)
        return
    for writes in range(100):
        _play(url, f"try {writes} of {name}", context, writes)
        if _place(url, f"try {writes} of {name}") == [recording.next, recording.stored]:
            _play(url, name, context, writes)
            return
    sys.exit(f"{name} is never killed with {recording.next} next")


def _play(url: str, thread: str, context: LocalContext, writes: int) -> None:
    async def start(runs: Runs, _: Opened) -> Any:
        return await runs.start("go", thread_id=thread, context=context)

    in_a_process(url, writes, start)


def _place(url: str, thread: str) -> Any:
    """[the next nodes, whether their writes are stored]; None before its request was taken up."""

    async def look(runs: Runs, _: Opened) -> Any:
        snapshot = await runs.react.aget_state({"configurable": {"thread_id": thread}})
        last = snapshot.values.get("messages", [])[-1:]
        begun = bool(last) and (last[0].type != "human" or next_nodes(snapshot) != ["reason"])
        return [",".join(next_nodes(snapshot)), not snapshot.next] if begun else None

    return in_a_process(url, NEVER, look)


def _dump(url: str) -> dict[str, Any]:
    with psycopg.connect(url) as connection:
        names = [str(name) for (name,) in connection.execute(TABLES)]
        [schema] = connection.execute("SELECT max(version) FROM ballast_schema").fetchone() or [0]
        tables = {}
        for name in names:
            query = sql.SQL(DUMP).format(table=sql.Identifier(name))
            [tables[name]] = connection.execute(query, (list(THREADS),)).fetchone() or [[]]
    return {"schema": schema, "scripts": {name: list(one.turns) for name, one in THREADS.items()}, "tables": tables}


def recorded() -> Iterator[Path]:
    """What each release wrote."""
    yield from sorted(FOLDER.glob("*.json.gz"))


def load(path: Path, url: str, scripts: Mapping[int, Traversable]) -> dict[str, Any]:
    """Make that release's schema, with its rows, in an empty one; gives each thread's turns.

    `scripts` are today's migrations: those the release had are run.
    """
    dump = json.loads(gzip.decompress(path.read_bytes()))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE ballast_schema (version INT PRIMARY KEY, applied_at TIMESTAMPTZ DEFAULT now())"
        )
        for number, script in scripts.items():
            if number <= dump["schema"]:
                connection.execute(script.read_bytes())
                connection.execute("INSERT INTO ballast_schema (version) VALUES (%s)", (number,))
        for table, rows in dump["tables"].items():
            if rows:
                columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
                query = sql.SQL(LOAD).format(table=sql.Identifier(table), columns=columns)
                connection.execute(query, (Json(rows),))
    scripts_of: dict[str, Any] = dump["scripts"]
    return scripts_of


if __name__ == "__main__":
    main(FOLDER / f"{version('ballast')}.json.gz")
