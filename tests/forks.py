"""Python programs in processes of their own, forked from one that has imported everything and opened nothing.

Starting Python and LangGraph takes more than a second of a processor, a fork a tenth of that. What is forked is a
process like any other: its own environment, streams, connections, exit code, and SIGKILL ends it as it ends all.
Run as a program this file is the process that forks: a job a line on stdin, an exit code a line on stdout.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60
"""Longest a program may take."""
IMPORTED = (
    *("app.cli_approvals", "app.cli_chaos", "app.doctor", "app.history", "app.lifespan", "app.loop", "app.progress"),
    *("app.replay", "app.report", "app.runs", "app.session", "app.show", "app.standing", "app.visible"),
    *("services.openai_model", "langchain_core.tracers.run_collector", "langchain_core.tracers.stdout", "uvloop"),
)
"""All that the command line imports; itself it is run as `__main__`, as `python -m` does."""


@dataclass(frozen=True, kw_only=True)
class Forks:
    """The process that forks, for one test at a time."""

    process: subprocess.Popen[str]
    folder: Path
    """Where what they print is kept until they have ended."""

    def run(self, *words: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run([sys.executable, *words], env=env, text=True, capture_output=True)`, with no input."""
        out, err = self.folder / "out", self.folder / "err"
        assert self.process.stdin
        assert self.process.stdout
        job = {"words": words, "env": dict(env), "out": str(out), "err": str(err)}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(words, SECONDS, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


@contextmanager
def forking(folder: Path) -> Iterator[Forks]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-P", __file__], stdin=pipe, stdout=pipe, text=True) as process:
        yield Forks(process=process, folder=folder)
        assert process.stdin
        process.stdin.close()  # it ends by itself


def _serve() -> dict[str, Any] | None:
    """Fork a process a job, in which it returns the job; None when there are no more."""
    for name in IMPORTED:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("a process with threads must not be forked")
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return dict(json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


def _become(job: dict[str, Any]) -> None:
    """Take the job's streams and environment."""
    written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for stream, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), (job["out"], written), (job["err"], written)]):
        os.dup2(os.open(path, flags, 0o600), stream)
    os.environ.clear()
    os.environ.update(job["env"])
    signal.alarm(SECONDS)


def _play(words: list[str]) -> None:
    """As `python WORDS`."""
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__" and (job := _serve()):
    _become(job)
    _play(job["words"])
