"""The file that lists MCP servers: how each is reached, and how long it may take.

```yaml
servers:
  files: {command: [python, files_server.py], env: {TOKEN: "${FILES_TOKEN}"}}
  search: {url: "https://search.example.com/mcp", headers: {Authorization: "Bearer ${SEARCH_TOKEN}"}, timeout_s: 20}
```
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from graph.errors import BadSetting
from services import policy_file
from services.addresses import is_loopback

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
"""Without underscores: they part a server's name from its tools'."""

NO_MAPPING = " must be a mapping with servers; unset BALLAST_MCP to have none"

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("a server's name is 1 to 20 of a-z 0-9 and -, with no - at an end")
    return name


def _from_environment(text: str) -> str:
    r"""`${NAME}` stands for a variable, so that the file holds no secret."""

    def value(found: re.Match[str]) -> str:
        if (known := os.environ.get(found[1])) is None:
            raise ValueError(f"the variable {found[1]} is not set")
        return known

    return _REFERENCE.sub(value, text)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("write one line of printable characters")
    return text


Secret = Annotated[str, AfterValidator(_from_environment), AfterValidator(_one_line)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Part):
    """One MCP server: a program on this machine (`command`, over stdio), or an address (`url`, streamable HTTP)."""

    command: tuple[str, ...] | None = Field(None, min_length=1)
    cwd: Path | None = None
    env: dict[str, Secret] = Field(default_factory=dict, repr=False)
    """Besides PATH, HOME and their like it sees nothing of our environment."""
    url: str | None = Field(None, repr=False)
    headers: dict[str, Secret] = Field(default_factory=dict, repr=False)
    timeout_s: float = Field(60.0, gt=0, le=3_600)
    """Longest one call may take."""
    connect_s: float = Field(30.0, gt=0, le=300)
    """Longest it may take to start, or to list its tools."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("write one of command: [PROGRAM, ARGUMENT, ...] and url: ADDRESS")
        if self.command is None and (self.cwd or self.env):
            raise ValueError("cwd and env go with command")
        if self.url is None and self.headers:
            raise ValueError("headers go with url")
        if self.url is not None:
            _check_address(self.url, secret=bool(self.headers))
        return self


def _check_address(url: str, *, secret: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url is no address") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or not url.isprintable() or " " in url:
        raise ValueError("url must be an http:// or https:// address without a password; that goes into headers")
    if secret and parts.scheme == "http" and not is_loopback(host):
        raise ValueError("headers would go over the network as they are: use https://")


class Servers(_Part):
    """What the file lists, by name."""

    servers: dict[Annotated[str, AfterValidator(_name)], Server] = Field(default_factory=dict, max_length=50)


def load(path: Path) -> Servers:
    """Read and check the file; nothing is connected to.

    Raises:
        BadSetting: one line with the file, the place in it, and what to write.
    """
    try:
        return Servers.model_validate(policy_file.read(path, no_mapping=NO_MAPPING))
    except policy_file.Unreadable as unreadable:
        raise BadSetting(f"BALLAST_MCP: {path}{unreadable}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, told = ".".join(str(part) for part in first["loc"] if part != "[key]"), _told(first)
        raise BadSetting(f"BALLAST_MCP: {path}, {place}: {told}"[:500]) from None


def _told(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        fields = Server.model_fields if len(error["loc"]) > 1 else Servers.model_fields
        return f"there is no such field: use {', '.join(fields)}"
    return policy_file.wanted(error)
