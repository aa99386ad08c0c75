"""The file that lists MCP servers, and what its faults read like."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.errors import BadSetting
from services.mcp_file import load
from services.settings import load as load_settings


def _file(folder: Path, text: str) -> Path:
    path = folder / "mcp.yaml"
    path.write_text(text)
    return path


def test_both_kinds_of_server_are_read_and_secrets_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILES_TOKEN", "s3cret")
    path = _file(
        tmp_path,
        'servers:\n  files: {command: [python, s.py], env: {TOKEN: "${FILES_TOKEN}"}}\n'
        '  a-1: {url: "https://x.example/mcp", headers: {Authorization: "Bearer ${FILES_TOKEN}"}, timeout_s: 5}\n',
    )
    monkeypatch.setenv("BALLAST_MCP", str(path))

    settings = load_settings(openai_api_key=None)

    files, search = settings.mcp.servers["files"], settings.mcp.servers["a-1"]
    assert (files.command, dict(files.env)) == (("python", "s.py"), {"TOKEN": "s3cret"})
    assert (search.headers, search.timeout_s) == ({"Authorization": "Bearer s3cret"}, 5)
    assert "s3cret" not in f"{settings!r}{files!r}{search!r}"


SERVERS = ", ".join(f"s{number}: {{command: [x]}}" for number in range(51))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping with servers; unset BALLAST_MCP"),
        ("server: {}", "server: there is no such field: use servers"),
        ("servers: {a: {comand: [x]}}", "servers.a.comand: there is no such field: use command, cwd"),
        ("servers: {a: {}}", "servers.a: write one of command: [PROGRAM, ARGUMENT, ...] and url: ADDRESS"),
        ("servers: {a: {command: [x], url: 'https://x'}}", "servers.a: write one of command"),
        ("servers: {a: {command: []}}", "servers.a.command: "),
        (f"servers: {{{SERVERS}}}", "servers: there are too many: keep the first 50"),
        ("servers: {a: {command: python x.py}}", "servers.a.command: write a list"),
        ("servers: {a_b: {command: [x]}}", "a server's name is 1 to 20 of a-z 0-9 and -"),
        ("servers: {a: {url: 'https://x', env: {A: b}}}", "servers.a: cwd and env go with command"),
        ("servers: {a: {command: [x], headers: {A: b}}}", "servers.a: headers go with url"),
        ("servers: {a: {url: 'ftp://x'}}", "servers.a: url must be an http:// or https:// address without a password"),
        ("servers: {a: {url: 'https://u:p@x'}}", "without a password; that goes into headers"),
        ("servers: {a: {url: 'https://[x'}}", "servers.a: url is no address"),
        ("servers: {a: {url: 'http://x', headers: {A: b}}}", "headers would go over the network as they are"),
        ("servers: {a: {command: [x], env: {A: '${NOT_SET_ANYWHERE}'}}}", "the variable NOT_SET_ANYWHERE is not set"),
        ('servers: {a: {command: [x], env: {A: "b\\nc"}}}', "servers.a.env.A: write one line of printable"),
        ("servers: {a: {command: [x], timeout_s: 0}}", "servers.a.timeout_s: Input should be greater than 0"),
    ],
)
def test_a_file_that_does_not_hold_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = _file(tmp_path, text)

    with pytest.raises(BadSetting) as refused:
        load(path)

    line = str(refused.value)
    assert line.startswith(f"BALLAST_MCP: {path}")
    assert told in line
    assert "\n" not in line


def test_http_without_secrets_and_on_this_machine_is_taken(tmp_path: Path) -> None:
    path = _file(tmp_path, "servers: {a: {url: 'http://mcp:80/'}, b: {url: 'http://127.0.0.1:1/', headers: {A: b}}}")

    assert set(load(path).servers) == {"a", "b"}
