"""The tool box: which tools there are, whether a call fits one, and what is at stake in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel

from graph.errors import BadSetting
from graph.tools import Assessment, Trust
from services.handlings import Handlings
from services.policy import Declared, Policy
from tools import arguments
from tools.arguments import Arguments, Misfit, ModelArguments
from tools.base import ARGUMENTS, CONTEXT, Lookup, Marks, marks_of
from tools.handling import handled
from tools.tiers import least, tier_of

SERVED = "mcp:"
"""How the source of tools begins that a server describes itself. A person approved the words, but may have overlooked
what they ask of a model."""

PER_HOST = 4
"""Most calls of a run that ask one host together."""


class ToolBox:
    """Tools by name. Built from any LangChain tools; one without marks is treated as high risk."""

    def __init__(
        self, registered: Sequence[BaseTool], policy: Policy | None = None, handlings: Handlings | None = None
    ) -> None:
        """A policy that does not fit the tools, or would loosen one, is refused here; so are handlings of no tool.

        Raises:
            BadSetting: see there; or two tools of one name, or one without a schema of its arguments.
        """
        registered = handled(registered, handlings or Handlings())
        self._tools = {one.name: one for one in registered}
        if len(self._tools) != len(registered):
            names = [one.name for one in registered]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise BadSetting(f"two tools are called {', '.join(twice)}: give each tool its own name")
        self._registered = tuple(registered)
        self._arguments = {name: _arguments(one) for name, one in self._tools.items()}
        self._hidden = {name: _hidden_parameters(one) for name, one in self._tools.items()}
        self._policy = policy or Policy()
        self._policy.check({name: self._declared(name) for name in self._tools})

    def _declared(self, name: str) -> Declared:
        marks = self.marks(name)
        return Declared(
            risk=marks.risk,
            arguments=self._arguments[name].names,
            recorded=marks.effect,
            gated=marks.effect or marks.exits,
            records=marks.records,
        )

    def registered(self) -> Sequence[BaseTool]:
        """The tools, in the order they were registered, those that can't be called now included."""
        return self._registered

    def offered(self) -> Sequence[BaseTool]:
        """The tools that can be called now, in the order they were registered."""
        return tuple(one for one in self._registered if marks_of(one).why_gone() is None)

    def get(self, name: str) -> BaseTool | None:
        """A tool by name; one that was allowed may be gone after an upgrade."""
        return self._tools.get(name)

    def wants_context(self, name: str) -> bool:
        """Whether the tool has a hidden parameter for its ToolContext."""
        return CONTEXT in self._hidden[name]

    def marks(self, name: str) -> Marks:
        """A registered tool's marks."""
        return marks_of(self._tools[name])

    async def assess(self, name: str, args: Mapping[str, Any], *, lookup: Lookup | None = None) -> Assessment:
        """See `graph.tools.Tools.assess`. Waits only for what a rule looks up; without `lookup` it can't."""
        if name not in self._tools:
            known = ", ".join(sorted(self._tools))
            return _refused(args, f"there is no tool {name!r}: use one of {known}", known=False)
        taken, marks = self._arguments[name], self.marks(name)
        if gone := marks.why_gone():
            return _refused(args, gone, max_calls=marks.max_calls)
        if extra := sorted(set(args) - set(taken.names)):
            known = ", ".join(taken.names)
            why = f"{name} takes no {', '.join(extra)}: it takes {known or 'no arguments'}"
            faults_of = dict.fromkeys(extra, f"{name} takes no such argument")
            return _refused(args, why, faults=faults_of, max_calls=marks.max_calls)
        try:
            fitted = taken.fitted(args)
        except Misfit as misfit:
            by_argument = {str(where[0]): why for where, why in reversed(misfit.told) if where}  # the first of each
            why = f"the arguments do not fit {name}: {misfit}"
            return _refused(args, why, faults=by_argument, max_calls=marks.max_calls)
        except Exception as error:  # noqa: BLE001 - a tool's own validator may raise anything
            why = f"the arguments do not fit {name}: {type(error).__name__}: {error}"
            return _refused(args, why, max_calls=marks.max_calls)
        risk, reason = await tier_of(name, marks, fitted, self._policy, lookup)
        return Assessment(args=fitted, risk=risk, reason=reason, max_calls=marks.max_calls)

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """See `graph.tools.Tools.intent`. Key order, 1 or 1.0, and unicode form do not change it."""
        if name in self._tools and not self.marks(name).effect:
            return None
        canonical = json.dumps([name, arguments.canonical(dict(args))], sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def trust(self, name: str) -> Trust:
        """See `graph.tools.Tools.trust`."""
        if name not in self._tools:
            return Trust()
        marks = self.marks(name)
        return Trust(
            untrusted=marks.untrusted_output,
            gated=marks.effect or marks.exits,
            content=marks.content,
            records=marks.records,
            structured=marks.structured,
            fields=marks.trusted_fields,
            described_outside=marks.source.startswith(SERVED),
            choices=self._arguments[name].choices,
            defaults=self._arguments[name].defaults,
            keys=self._arguments[name].keys,
            handling=marks.handling,
            extract=marks.extract,
        )

    def vouched(self, name: str, argument: str, value: Any, shown: Callable[[str], bool]) -> str | None:
        """See `graph.tools.Tools.vouched`."""
        return self._policy.vouched(name, argument, value, shown)

    def bounds(self, name: str, args: Mapping[str, Any]) -> Mapping[str, int]:
        """See `graph.tools.Tools.bounds`. A tool that can't tell its host counts as one host."""
        if name not in self._tools:
            return {}
        marks = self.marks(name)
        bounds = {} if marks.at_once is None else {f"tool:{name}": marks.at_once}
        if marks.host is None:
            return bounds
        try:
            host = marks.host(args)
        except Exception:  # noqa: BLE001 - as a tool's own validator, it may raise anything
            host = f"of {name}"
        return bounds if host is None else {**bounds, f"host:{host}": PER_HOST}

    def rates(self) -> dict[str, tuple[int, float]]:
        """The rate limits that tools declare, by name: (calls, seconds)."""
        return {name: rate for name in self._tools if (rate := self.marks(name).rate)}

    def listing(self) -> list[dict[str, Any]]:
        """What `ballast tools` prints; `risk` is the tier in force, the policy's where it is higher."""
        return [
            {
                "name": one.name,
                "risk": least(one.name, marks_of(one).risk, self._policy),
                "untrusted_output": marks_of(one).untrusted_output,
                "idempotent": marks_of(one).idempotent,
                "source": marks_of(one).source,
            }
            for one in self.offered()
        ]


def _arguments(one: BaseTool) -> Arguments:
    """What the tool says itself of them, or else its pydantic schema."""
    own = (one.metadata or {}).get(ARGUMENTS)
    return own if own is not None else ModelArguments(_visible_schema(one))


def _visible_schema(one: BaseTool) -> type[BaseModel]:
    """The arguments a model gives.

    Raises:
        BadSetting: the tool describes them by a bare JSON schema.
    """
    shown, whole = one.tool_call_schema, one.args_schema
    if not (isinstance(shown, type) and issubclass(shown, BaseModel)):
        raise BadSetting(f"tool {one.name} has no pydantic schema: give it an args_schema class")
    # LangChain's copy of the schema has lost its validators: taken only when there is something to hide.
    if isinstance(whole, type) and issubclass(whole, BaseModel) and set(whole.model_fields) == set(shown.model_fields):
        return whole
    return shown


def _hidden_parameters(one: BaseTool) -> set[str]:
    """Parameters of the function that the model is not shown."""
    schema = one.args_schema
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return set()
    return set(schema.model_fields) - set(_visible_schema(one).model_fields)


def _refused(args: Mapping[str, Any], why: str, **more: Any) -> Assessment:
    return Assessment(args=dict(args), risk="critical", reason="", error=why, **more)
