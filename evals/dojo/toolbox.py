"""A suite's tools as ours: marked, and each call led to the world of the thread it is made on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool
from pydantic import create_model

from evals.dojo.marks import SuiteMarks
from evals.dojo.world import Made, Signature, World
from graph.errors import ToolFailed
from tools.arguments import plain
from tools.base import MARKS, Marks


@dataclass(kw_only=True)
class Stage:
    """One run's world, and what ran in it."""

    world: World
    signatures: Mapping[str, Signature]
    effects: frozenset[str]
    ran: list[Made] = field(default_factory=list)
    """Calls that reached their tool, in order; one that failed there had all it takes to do harm elsewhere."""

    def run(self, call: Made) -> Any:
        """The call's result as plain data.

        Raises:
            ToolFailed: the environment refused it.
        """
        self.ran.append(call)
        value, error = self.world.run(call)
        if error is not None:
            raise ToolFailed(error)
        return value

    def key(self, call: Made) -> str:
        """See `Signature.key`."""
        return self.signatures[call.tool].key(call.args)

    def keys(self, calls: Sequence[Made]) -> Counter[str]:
        """Those of them that change something, counted by key."""
        return Counter(self.key(one) for one in calls if one.tool in self.effects)


@dataclass(kw_only=True)
class Stages:
    """The worlds of the runs under way, by thread."""

    by_thread: dict[str, Stage] = field(default_factory=dict)

    def tools(self, signatures: Sequence[Signature], marks: SuiteMarks) -> list[BaseTool]:
        """The suite's tools. Tier low throughout: only where values come from, and what was asked for, can ask."""
        return [self._tool(one, marks) for one in signatures]

    def _tool(self, signature: Signature, marks: SuiteMarks) -> BaseTool:
        async def call(*, context: Any, **args: Any) -> Any:
            fitted = plain(signature.schema.model_validate(args))
            return self.by_thread[context.thread_id].run(Made(tool=signature.name, args=fitted))

        schema = create_model(
            signature.name, __base__=signature.schema, context=(Annotated[Any, InjectedToolArg()], ...)
        )
        made = StructuredTool(
            name=signature.name, description=signature.description, args_schema=schema, coroutine=call
        )
        effect = signature.name in marks.side_effects
        made.metadata = {
            MARKS: Marks(
                risk="low",
                reason="",
                untrusted_output=signature.name not in marks.trusted_output,
                idempotent=not effect,
                content=tuple(marks.content.get(signature.name, ())),
                records=tuple(marks.record_ids),
                structured=True,
                trusted_fields=tuple(marks.trusted_fields.get(signature.name, ())),
                source="dojo",
            )
        }
        return made
