"""The file that says which guards are asked at each stage, and in which order."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool, ValidationError

from graph.errors import BadSetting
from graph.guards import STAGES, Guard
from services import policy_file
from services.endpoints import Endpoints
from services.guards.chain import Chain, Named
from services.models import ModelChain
from services.settings import Settings

FORMS = "detector, redact:secrets|cards|ibans|addresses, llamaguard:MODEL@BASE_URL, nemo:FOLDER, package.module:Class"

NO_KEY = SecretStr("none")
"""What an endpoint is sent that asks for no key: the client refuses to send nothing."""

_LLAMAGUARD = re.compile(r"(?P<model>[^@\s]+)@(?P<url>https?://\S+)")
_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class GuardsFile(BaseModel):
    """Names of guards by stage, asked in this order, and what becomes of a text when one is failing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: tuple[str, ...] = Field((), max_length=20)
    content: tuple[str, ...] = Field((), max_length=20)
    output: tuple[str, ...] = Field((), max_length=20)
    arguments: tuple[str, ...] = Field((), max_length=20)
    seconds: float = Field(10.0, gt=0, le=600)
    """Longest wait for one verdict."""
    open_for_low: StrictBool = False
    """Pass a failing guard over where nothing above the tier low is at stake."""


def load(settings: Settings, endpoints: Endpoints) -> Chain:
    """The chain that the file of `settings.guards` names, each of its guards made once.

    Raises:
        BadSetting: one line with the file, the place in it, and what to write.
    """
    path = settings.guards
    assert path is not None  # noqa: S101 - the caller asked
    read = _read(path)
    connected: list[ModelChain] = []

    @cache
    def named(spec: str) -> Named:
        kind, _, rest = spec.partition(":")
        try:
            if kind == "llamaguard":
                guard, model = _llamaguard(rest, settings, endpoints, connected)
                return Named(name=f"llamaguard:{model}", guard=guard)
            return Named(name=spec, guard=_made(spec, kind, rest, path.parent))
        except BadSetting as bad:
            shown = re.split("@|//", spec)[0]  # an address may hold a password
            raise BadSetting(f"BALLAST_GUARDS: {path}: {shown}: {bad}") from None

    guards = {stage: tuple(map(named, getattr(read, stage))) for stage in STAGES}
    return Chain(guards=guards, seconds=read.seconds, open_for_low=read.open_for_low, connected=connected)


def _read(path: Path) -> GuardsFile:
    mapping = " must be a mapping of stages to lists of guards; unset BALLAST_GUARDS to have none"
    try:
        return GuardsFile.model_validate(policy_file.read(path, no_mapping=mapping))
    except policy_file.Unreadable as unreadable:
        raise BadSetting(f"BALLAST_GUARDS: {path}{unreadable}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = f"there is no such field: use {', '.join(GuardsFile.model_fields)}"
        told = unknown if first["type"] == "extra_forbidden" else policy_file.wanted(first)
        raise BadSetting(f"BALLAST_GUARDS: {path}, {place}: {told}") from None


def _made(spec: str, kind: str, rest: str, folder: Path) -> Guard:
    if spec == "detector":
        from services.guards.detector import Detector  # noqa: PLC0415 - each only where it is named

        return Detector()
    if kind == "redact":
        from services.guards.redaction import KINDS, Redaction  # noqa: PLC0415 - as above

        if rest not in KINDS:
            raise BadSetting(f"there is no such kind: use {', '.join(KINDS)}")
        return Redaction(kind=rest)
    if kind == "nemo":
        return _nemo(folder / rest)
    if _DOTTED.fullmatch(spec):
        return _own(kind, rest)
    raise BadSetting(f"no guard is named so: the forms are {FORMS}")


def _llamaguard(rest: str, settings: Settings, endpoints: Endpoints, connected: list[ModelChain]) -> tuple[Guard, str]:
    """A guard with a connection of its own: the endpoint is another one than the agent's, and gets another key."""
    from services.guards.llamaguard import LlamaGuard  # noqa: PLC0415 - as above

    found = _LLAMAGUARD.fullmatch(rest)
    if not found:
        raise BadSetting("write llamaguard:MODEL@BASE_URL, such as llamaguard:llama-guard3@http://127.0.0.1:11434/v1")
    own = {"openai_api_key": settings.guards_key or NO_KEY, "openai_base_url": found["url"]}
    models, chain = ModelChain(settings.model_copy(update=own), endpoints), f"openai:{found['model']}"
    models.check(chain)
    connected.append(models)
    return LlamaGuard(models, chain), found["model"]


def _nemo(folder: Path) -> Guard:
    try:
        from services.guards.nemo import Nemo  # noqa: PLC0415 - an extra: only when it is named
    except ImportError:
        raise BadSetting("it needs the extra nemo: pip install 'ballast[nemo]'") from None
    return _begun(lambda: Nemo(folder))


def _own(module: str, name: str) -> Guard:
    def make() -> Any:
        return getattr(importlib.import_module(module), name)()

    made = _begun(make)
    if not callable(getattr(made, "check", None)):
        raise BadSetting("it has no method check: see graph.guards.Guard")
    return made


def _begun(make: Callable[[], Guard]) -> Guard:
    try:
        return make()
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise BadSetting(f"it could not be made: {type(error).__name__}: {told}") from error
