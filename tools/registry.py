"""The tool box: which tools there are, whether a call fits one, and what is at stake in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import BaseModel, ValidationError

from graph.context import Assessment
from graph.errors import BadSetting
from graph.state import RISKS, Risk
from tools import arguments
from tools.base import CONTEXT, Marks, marks_of


class ToolBox:
    """Tools by name. Built from any LangChain tools; one without marks is treated as high risk."""

    def __init__(self, registered: Sequence[BaseTool]) -> None:
        self._tools = {one.name: one for one in registered}
        if len(self._tools) != len(registered):
            names = [one.name for one in registered]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise BadSetting(f"two tools are called {', '.join(twice)}: give each tool its own name")
        self._offered = tuple(registered)
        self._schemas = {name: _visible_schema(one) for name, one in self._tools.items()}
        self._hidden = {name: _hidden_parameters(one) for name, one in self._tools.items()}

    def offered(self) -> Sequence[BaseTool]:
        """The tools, in the order they were registered."""
        return self._offered

    def get(self, name: str) -> BaseTool | None:
        """A tool by name; one that was allowed may be gone after an upgrade."""
        return self._tools.get(name)

    def wants_context(self, name: str) -> bool:
        """Whether the tool has a hidden parameter for its ToolContext."""
        return CONTEXT in self._hidden[name]

    def marks(self, name: str) -> Marks:
        """A registered tool's marks."""
        return marks_of(self._tools[name])

    def assess(self, name: str, args: Mapping[str, Any]) -> Assessment:
        """See `graph.context.Tools.assess`."""
        if name not in self._tools:
            known = ", ".join(sorted(self._tools))
            return replace(_refused(args, f"there is no tool {name!r}: use one of {known}"), known=False)
        schema = self._schemas[name]
        if extra := sorted(set(args) - set(schema.model_fields)):
            known = ", ".join(schema.model_fields)
            return _refused(args, f"{name} takes no {', '.join(extra)}: it takes {known or 'no arguments'}")
        try:
            fitted = arguments.plain(schema.model_validate(dict(args)))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            return _refused(args, f"the arguments do not fit {name}: {faults}")
        except Exception as error:  # noqa: BLE001 - a tool's own validator may raise anything
            return _refused(args, f"the arguments do not fit {name}: {type(error).__name__}: {error}")
        marks = self.marks(name)
        risk, reason = _tier(marks, fitted)
        return Assessment(args=fitted, risk=risk, reason=reason, max_calls=marks.max_calls)

    def intent(self, name: str, args: Mapping[str, Any]) -> str | None:
        """See `graph.context.Tools.intent`. Key order, 1 or 1.0, and unicode form do not change it."""
        if name in self._tools and not self.marks(name).effect:
            return None
        canonical = json.dumps([name, arguments.canonical(dict(args))], sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def rates(self) -> dict[str, tuple[int, float]]:
        """The rate limits that tools declare, by name: (calls, seconds)."""
        return {name: rate for name in self._tools if (rate := self.marks(name).rate)}

    def listing(self) -> list[dict[str, Any]]:
        """What `ballast tools` prints."""
        return [
            {
                "name": one.name,
                "risk": marks_of(one).risk,
                "untrusted_output": marks_of(one).untrusted_output,
                "idempotent": marks_of(one).idempotent,
                "source": marks_of(one).source,
            }
            for one in self._offered
        ]


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
    known = set(schema.model_fields) if isinstance(schema, type) and issubclass(schema, BaseModel) else set()
    return known - set(_visible_schema(one).model_fields)


def _refused(args: Mapping[str, Any], why: str) -> Assessment:
    return Assessment(args=dict(args), risk="critical", reason="", error=why)


def _tier(marks: Marks, args: dict[str, Any]) -> tuple[Risk, str]:
    """The declared tier, or a higher one the arguments ask for; a rule that breaks fails closed."""
    if marks.raise_risk is None:
        return marks.risk, marks.reason
    try:
        risk, reason = marks.raise_risk(**args) or (marks.risk, marks.reason)
        return (risk, reason) if RISKS.index(risk) > RISKS.index(marks.risk) else (marks.risk, marks.reason)
    except Exception as error:  # noqa: BLE001 - whatever breaks, the call is treated as the worst
        return "critical", f"its risk could not be told ({type(error).__name__}: {error})"
