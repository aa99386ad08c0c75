"""The command line in processes of its own, and a real `langgraph dev`, each on a database schema of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Page
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.acceptance.browser import Chromium, launched
from tests.acceptance.desk import Desk
from tests.forks import Forks

ROOT = Path(__file__).parents[2]


@dataclass(kw_only=True)
class Server:
    """`langgraph dev` as a user starts it, in a folder of its own."""

    folder: Path
    database_url: str
    environment: dict[str, str] = field(default_factory=dict)
    """Added to what it starts with; wins over it."""
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, port: int | None = None) -> None:
        self.port = port or _free_port()
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST"))}
        environment |= {
            "DATABASE_URL": self.database_url,
            "BALLAST_WORKSPACE": str(ROOT / "examples/office"),
            "LANGSMITH_TRACING": "false",
            **self.environment,
        }
        command = ["langgraph", "dev", "--config", str(ROOT / "langgraph.json"), "--port", str(self.port)]
        command += ["--host", "127.0.0.1", "--no-browser", "--no-reload"]
        command += ["--studio-url", "http://127.0.0.1:9"]  # else the server makes its own tracing client
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name(command[0])), *command[1:]],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(base_url=self.url, transport=transport, timeout=5) as client:
            for _ in range(600):
                try:
                    if client.get("/ok").is_success:
                        return
                except httpx.TransportError:
                    pass
                if self.process.poll() is not None:
                    break
                _pause(self.process)
        log_end = (self.folder / "server.log").read_text()[-3000:]
        pytest.fail(f"langgraph dev did not start, exit code {self.process.poll()}:\n{log_end}")

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing said goodbye to."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def _pause(process: subprocess.Popen[bytes]) -> None:
    """Wait for 0.1 s, or for the process to end."""
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(server_url: str, folder: Path, **environment: str) -> Iterator[Server]:
    """A server on a schema of its own."""
    schema = f"server_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    url = make_conninfo(server_url, options=f"-csearch_path={schema}")
    started = Server(folder=folder, database_url=url, environment=environment)
    started.start()
    yield started
    started.kill()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture(scope="session")
def server(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server, open to this machine, for all tests that need no other; each has threads of its own."""
    with running(server_url, tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def closed_server(server_url: str, tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Server]:
    """One on which people are given tokens, for modules that call it their `server`: the first one closes it."""
    with running(server_url, tmp_path_factory.mktemp("server")) as started:
        SignIn(forks=forks, database_url=started.database_url).token("first")
        yield started


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Makes tokens for a server's database, by the command line."""

    forks: Forks
    database_url: str

    def ballast(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST"))}
        return self.forks.run("-m", "app.cli", *words, env=kept | {"DATABASE_URL": self.database_url})

    def token(self, name: str, role: str = "user") -> str:
        made = self.ballast("token", "create", name, "--role", role)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()


@pytest.fixture(scope="module")
def sign_in(server: Server, forks: Forks) -> SignIn:
    return SignIn(forks=forks, database_url=server.database_url)


ORDER_INPUT: Any = {"messages": [{"role": "user", "content": "order 2 desk lamps at 38.25"}]}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A thread of a server that waits for a person."""

    thread: str
    run: str
    checkpoint: str
    interrupt: str


def waiting(client: httpx.Client) -> Asked:
    """An order of whose client this is, which waits for approval."""
    thread = client.post("/threads", json={}).json()["thread_id"]
    client.post(f"/threads/{thread}/runs/wait", json={"assistant_id": "react", "input": ORDER_INPUT}).raise_for_status()
    state = client.get(f"/threads/{thread}/state").json()
    [run] = client.get(f"/threads/{thread}/runs").json()
    return Asked(
        thread=thread,
        run=run["run_id"],
        checkpoint=state["checkpoint"]["checkpoint_id"],
        interrupt=state["tasks"][0]["interrupts"][0]["id"],
    )


def client_of(server: Server, token: str | None = None, **headers: str) -> httpx.Client:
    """An HTTP client with this token."""
    sent = headers if token is None else {"authorization": f"Bearer {token}", **headers}
    return httpx.Client(base_url=server.url, headers=sent, timeout=60)


@pytest.fixture
def desk(server: Server, tmp_path: Path) -> Desk:
    """Its approvals; none is pending yet."""
    found = Desk(server=server, folder=tmp_path)
    found.clear()
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One Chromium for all tests; starting it takes longer than most of them."""
    async with launched() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[Chromium]:
    """Tabs for this test; after it, no page may have broken its policy or failed in its script."""
    opened = Chromium(running=chromium)
    yield opened
    try:
        await opened.check()
    finally:
        await opened.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(browser: Chromium, desk: Desk) -> Page:
    """A tab on that server."""
    return await browser.tab(base_url=desk.server.url)


Made = dict[str, Any]
ORDER: Made = {"name": "place_order", "args": {"item": "Desk lamp", "quantity": 2, "unit_price": 38.25}}
MAIL: Made = {"name": "send_email", "args": {"to": "ann@example.com", "subject": "Hi", "body": "Hello"}}
DELETE: Made = {"name": "delete_records", "args": {"table": "suppliers", "ids": ["104"]}}
LIST: Made = {"name": "list_files", "args": {}}

Ballast = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]
Script = Callable[..., str]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    office = shutil.copytree(ROOT / "examples/office", tmp_path / "office", ignore=shutil.ignore_patterns("outbox"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "BALLAST", "LANGSMITH"))}
    return kept | {"DATABASE_URL": database_url, "BALLAST_WORKSPACE": str(office), "COLUMNS": "200"}


@pytest.fixture
def ballast(environment: dict[str, str], forks: Forks) -> Ballast:
    def run(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = forks.run("-m", "app.cli", *args, env=environment | variables)
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts a command and does not wait for it; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "app.cli", *args]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, text=True, stdout=pipe, stderr=pipe))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(*turns: dict[str, Any], **lists: Any) -> str:
        path = tmp_path / "script.yaml"
        path.write_text(yaml.safe_dump({"turns": list(turns), **lists}))
        return f"scripted:{path}"

    return write


def one_line(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """The whole contract of a failure: one line on stderr that says these things, and the exit code."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ballast: ")]
    assert len(lines) == 1, done.stderr
    assert done.returncode == code, done.stderr
    for words in said:
        assert words in lines[0]


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"never said {words!r}")
