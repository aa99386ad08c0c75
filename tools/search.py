"""Full-text search over the workspace, by Postgres."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import ProgramLimitExceeded

from checkpoints.ledger import storable
from graph.errors import ToolFailed
from tools import letters, paths
from tools.base import Injected, tool

TEXT = (".txt", ".md", ".csv", ".eml")
HITS = 8
MAX_QUERY = 1_000
"""Longest query, in characters: Postgres parses it by recursion."""
FEWER = 80_000
"""Characters that fit Postgres' 1 MB for a document's words, whatever they are."""

KNOWN = "SELECT path, mtime_ns, size FROM documents WHERE workspace = %s"
FORGET = "DELETE FROM documents WHERE workspace = %s AND path = ANY(%s)"
STORE = """
INSERT INTO documents (workspace, path, mtime_ns, size, body) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (workspace, path) DO UPDATE
SET mtime_ns = EXCLUDED.mtime_ns, size = EXCLUDED.size, body = EXCLUDED.body
"""
# Every word first; when no document has them all, any of them.
# Not with a `-word`: "lamp or anything without desk" would find nearly all.
SEARCH = """
WITH asked AS (
    SELECT websearch_to_tsquery('english', %(query)s) AS all_words,
           replace(websearch_to_tsquery('english', %(query)s)::text, ' & ', ' | ')::tsquery AS any_word
), chosen AS (
    SELECT CASE WHEN EXISTS (SELECT 1 FROM documents WHERE workspace = %(workspace)s AND words @@ all_words)
           OR all_words::text LIKE '%%!%%' THEN all_words ELSE any_word END AS query FROM asked
)
SELECT path, ts_headline('english', body, query,
    'StartSel=**, StopSel=**, MaxFragments=2, MinWords=8, MaxWords=30, FragmentDelimiter=" ... "') AS snippet
FROM documents, chosen WHERE workspace = %(workspace)s AND words @@ query
ORDER BY ts_rank_cd(words, query, 1) DESC, path LIMIT %(hits)s
"""


@tool(risk="low", untrusted_output=True, idempotent=True)
async def search_documents(query: str, context: Injected) -> str:
    """Search the workspace's documents and mail for words.

    Args:
        query: Words to look for; "quoted phrases", `or` and `-word` work.
    """
    workspace = storable(str(await asyncio.to_thread(context.workspace.resolve)))
    async with context.database() as connection:
        await _refresh(connection, context.workspace, workspace)
        cursor = await connection.execute(
            SEARCH, {"query": storable(query[:MAX_QUERY]), "workspace": workspace, "hits": HITS}
        )
        rows = await cursor.fetchall()
    lines = [f"{row['path']}: {' '.join(row['snippet'].split())}" for row in rows]
    return "\n".join(lines) or "no document matches"


async def _refresh(connection: AsyncConnection[Any], workspace: Path, key: str) -> None:
    """Read what has changed since the last search; forget what is gone."""
    present = await asyncio.to_thread(_stamps, workspace)
    rows = await (await connection.execute(KNOWN, (key,))).fetchall()
    known = {row["path"]: (row["mtime_ns"], row["size"]) for row in rows}
    if gone := sorted(set(known) - set(present)):
        await connection.execute(FORGET, (key, gone))
    for path in sorted(path for path, stamp in present.items() if known.get(path) != stamp):
        body = await asyncio.to_thread(_body, workspace, path)
        row = (key, storable(path), *present[path])
        try:
            await connection.execute(STORE, (*row, storable(body)))
        except ProgramLimitExceeded:  # too many different words for one tsvector
            await connection.execute(STORE, (*row, storable(body[:FEWER])))


def _stamps(workspace: Path) -> dict[str, tuple[int, int]]:
    stamps = {}
    for path in paths.files(workspace):
        if path.lower().endswith(TEXT):
            with suppress(OSError):  # gone meanwhile
                status = (workspace / path).lstat()
                stamps[path] = (status.st_mtime_ns, status.st_size)
    return stamps


def _body(workspace: Path, path: str) -> str:
    """The text to search; a file that can't be read is found by its name only."""
    try:
        folder, _, name = path.rpartition("/")
        if folder == letters.MAILBOX and name.endswith(".eml"):
            message = letters.load(workspace, name.removesuffix(".eml"))
            return f"{letters.header(message, 'From')}\n{letters.header(message, 'Subject')}\n{letters.body(message)}"
        return paths.read_text(workspace, path)
    except ToolFailed:
        return ""
