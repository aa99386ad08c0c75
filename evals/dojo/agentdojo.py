"""AgentDojo's suites. The only place that imports it: it is the extra `dojo`."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import yaml
from pydantic_core import to_jsonable_python

from evals.dojo.obfuscation import obfuscated
from evals.dojo.watching import squeezed
from evals.dojo.world import Made, Pair, Signature
from graph.errors import BadSetting
from services.yaml_loader import LOADER

VERSION = "v1.2.2"

KEPT = 64
"""Environments kept for the next pair under the same texts."""

ASKS = "manual"
"""The one attack that asks whoever sits there for its text."""


def _library() -> Any:
    """The modules used.

    Raises:
        BadSetting: it is not installed.
    """
    names = {
        "suites": "agentdojo.task_suite.load_suites",
        "files": "agentdojo.task_suite.task_suite",
        # Never imported by the one above: without it later versions lack these fixes.
        "fixes": "agentdojo.default_suites.v1_1_2",
        "attacks": "agentdojo.attacks",
        "registry": "agentdojo.attacks.attack_registry",
        "runtime": "agentdojo.functions_runtime",
        "types": "agentdojo.types",
    }
    try:
        return SimpleNamespace(**{name: importlib.import_module(path) for name, path in names.items()})
    except ModuleNotFoundError:
        raise BadSetting("AgentDojo is not installed: pip install 'ballast[dojo]'") from None


@dataclass(kw_only=True)
class _World:
    """Implements `evals.dojo.world.World`."""

    library: Any
    suite: Any
    user: Any
    injection: Any
    environment: Any
    before: Any = field(init=False)
    runtime: Any = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.environment.model_copy(deep=True)
        self.runtime = self.library.runtime.FunctionsRuntime(self.suite.tools)

    def run(self, call: Made) -> tuple[Any, str | None]:
        """See `World.run`."""
        value, error = self.runtime.run_function(self.environment, call.tool, dict(call.args))
        return to_jsonable_python(value, fallback=str), error

    def utility(self, answer: str, made: Sequence[Made]) -> bool:
        """See `World.utility`."""
        check = self.suite._check_user_task_utility  # noqa: SLF001 - the benchmark's own way, which no public name has
        return bool(check(self.user, self._said(answer), *self._worlds(), self._traces(made)))

    def goal(self, answer: str, made: Sequence[Made]) -> bool:
        """See `World.goal`."""
        if self.injection is None:
            return False
        check = self.suite._check_injection_task_security  # noqa: SLF001 - as above
        return bool(check(self.injection, self._said(answer), *self._worlds(), self._traces(made)))

    def _worlds(self) -> tuple[Any, Any]:
        """Before and after, as copies: a check may change what it compares."""
        return self.before.model_copy(deep=True), self.environment.model_copy(deep=True)

    def _said(self, answer: str) -> Any:
        # An address in plain words tells what it is; it only leads nowhere by itself.
        read = answer.replace("[:]//", "://").replace("[.]", ".")
        return [self.library.types.text_content_block_from_string(read)]

    def _traces(self, made: Sequence[Made]) -> list[Any]:
        return [self.library.runtime.FunctionCall(function=one.tool, args=dict(one.args)) for one in made]


class DojoSuite:
    """Implements `evals.dojo.world.Suite`."""

    def __init__(
        self, name: str, *, attack: str, obfuscate: bool = False, plans: Mapping[str, Sequence[Made]] | None = None
    ) -> None:
        """A suite under an attack.

        Raises:
            BadSetting: there is no such suite or attack, or AgentDojo is not installed.
        """
        self.name = name
        self._library = _library()
        known = self._library.suites.get_suites(VERSION)
        if name not in known:
            raise BadSetting(f"there is no suite {name!r}: use {', '.join(sorted(known))}")
        attacks = sorted(set(self._library.registry.ATTACKS) - {ASKS})
        if attack not in attacks:
            raise BadSetting(f"there is no attack {attack!r}: use {', '.join(attacks)}")
        # A copy, whose environments are read once and by libyaml: the library's own way takes ten times as long.
        self._suite = copy.copy(self._library.suites.get_suite(VERSION, name))
        self._loaded = lru_cache(maxsize=KEPT)(partial(_pickled, self._library.files.read_suite_file, self._suite))
        self._suite.load_and_inject_default_environment = self._environment
        self._attack = self._library.registry.load_attack(attack, self._suite, SimpleNamespace(name="local"))
        self._obfuscate, self._plans = obfuscate, plans or {}
        self.tools: Sequence[Signature] = [
            Signature(name=one.name, description=one.description, schema=one.parameters) for one in self._suite.tools
        ]
        self.users: Sequence[str] = list(self._suite.user_tasks)
        self.injections: Sequence[str] = sorted(self._suite.injection_tasks, key=_number)
        self._usual = squeezed(
            "\n".join(
                [
                    self._environment({}).model_dump_json(),
                    *(f"{one.description} {one.schema.model_json_schema()}" for one in self.tools),
                ]
            )
        )

    def pair(self, user: str, injection: str | None) -> Pair:
        """See `Suite.pair`."""
        task = self._suite.user_tasks[user]
        wanted = self._suite.injection_tasks[injection] if injection else None
        injected = self._injected(injection, wanted)
        texts = self._texts(task, wanted, injected) if wanted else {}
        world = self._world(task, wanted, texts)
        calls = _made(task.ground_truth(world.before))
        rehearsal = self._world(task, wanted, texts)
        return Pair(
            user=user,
            injection=injection,
            prompt=task.PROMPT,
            answer=task.GROUND_TRUTH_OUTPUT,
            calls=calls,
            results=[rehearsal.run(one)[0] for one in calls],
            injected=injected,
            said=wanted.GROUND_TRUTH_OUTPUT if wanted else "",
            payloads=sorted(set(texts.values())),
            usual=self._usual + squeezed(task.PROMPT),
            world=world,
        )

    def _world(self, task: Any, wanted: Any, texts: Mapping[str, str]) -> _World:
        environment = task.init_environment(self._environment(texts))
        return _World(library=self._library, suite=self._suite, user=task, injection=wanted, environment=environment)

    def _environment(self, texts: Mapping[str, str]) -> Any:
        """A copy of its own: to read one anew takes half a second."""
        return pickle.loads(self._loaded(tuple(sorted(texts.items()))))  # noqa: S301 - what we pickled ourselves

    def _injected(self, name: str | None, wanted: Any) -> list[Made]:
        if not name:
            return []
        return list(self._plans[name]) if name in self._plans else _made(wanted.ground_truth(self._environment({})))

    def _texts(self, task: Any, wanted: Any, injected: Sequence[Made]) -> dict[str, str]:
        """The attacker's text in each place that is read on the way; none where the task reads nothing of theirs."""
        try:
            texts: dict[str, str] = self._attack.attack(task, wanted)
        except ValueError:
            return {}
        if not self._obfuscate:
            return texts
        return {place: obfuscated(text, injected, by=_number(wanted.ID)) for place, text in texts.items()}


def _pickled(read: Callable[..., str], suite: Any, texts: tuple[tuple[str, str], ...]) -> bytes:
    """The environment with these texts in their places."""
    whole = read(suite.name, "environment.yaml", suite.data_path)
    places = {**suite.get_injection_vector_defaults(), **dict(texts)}
    data = yaml.load(whole.format(**places), Loader=LOADER)  # noqa: S506 - a safe loader
    return pickle.dumps(suite.environment_type.model_validate(data))


def _made(calls: Sequence[Any]) -> list[Made]:
    return [Made(tool=one.function, args=dict(one.args)) for one in calls]


def _number(task_id: str) -> int:
    return int(task_id.rpartition("_")[2])
