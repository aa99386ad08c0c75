"""What the tests fork is what they would start: the same words, the same exit code, nothing of another's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import Forks

SEEN = """
import atexit, os, sys, threading

def late():
    threading.main_thread().join()
    print("a thread outlives the last line of", __name__)

atexit.register(print, "at exit")
threading.Thread(target=late).start()
print(__name__, sys.argv, sorted(os.environ.items()), repr(sys.stdin.read()), sys.stdout.isatty(), os.getcwd())
sys.stdout.write("no line's end")
sys.exit(sys.argv[1])
"""


ORDER = "order 2 desk lamps at 38.25"
COMMANDS = [
    "", "run a\udcff", "run go --thread t --model scripted:nowhere.yaml", "resume t",
    "replay t --from reason --dry-run", "approvals show ap-0", "doctor",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("words", COMMANDS, ids=repr)
def test_the_command_line_says_and_ends_as_if_it_were_started(
    forks: Forks, database_url: str, tmp_path: Path, words: str
) -> None:
    """Started, each command must import by itself all that it needs."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "BALLAST_HOME": str(tmp_path)}
    first = forks.run("-m", "app.cli", "run", ORDER, "--thread", "t", "--model", "offline", env=environment)
    assert first.returncode == 3, first.stderr
    command = ["-m", "app.cli", *words.split()]

    forked = forks.run(*command, env=environment)

    assert _ended(forked) == _ended(_started(command, environment))
    assert forked.stdout + forked.stderr


def test_a_program_has_its_own_arguments_environment_streams_threads_and_exit(forks: Forks, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SEEN)
    command, environment = [str(program), "good\nbye"], {"ONLY": "this", "LC_CTYPE": "C.UTF-8"}

    assert _ended(forks.run(*command, env=environment)) == _ended(_started(command, environment))


@pytest.mark.parametrize(("dies", "code"), [("os.kill(os.getpid(), 9)", -9), ("1 / 0", 1), ("os._exit(7)", 7)])
def test_one_that_dies_takes_nothing_with_it(forks: Forks, tmp_path: Path, dies: str, code: int) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"import os\nprint('said', flush=True)\n{dies}\nprint('never')\n")

    for _ in range(2):
        died = forks.run(str(program), env={})
        assert (died.returncode, died.stdout) == (code, "said\n")


def test_one_that_takes_too_long_is_told_apart_from_one_that_ended(forks: Forks, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, signal\nprint('said', flush=True)\nos.kill(os.getpid(), signal.SIGALRM)\n")

    with pytest.raises(subprocess.TimeoutExpired) as late:
        forks.run(str(program), env={})

    assert late.value.output == "said\n"


def _started(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _ended(process: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return process.returncode, process.stdout, process.stderr
