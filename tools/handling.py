"""Tools as the operator wants their untrusted output handled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_core.tools import BaseTool

from graph.errors import BadSetting
from services.handlings import Handlings
from tools.base import MARKS, marks_of


def handled(tools: Sequence[BaseTool], handlings: Handlings) -> list[BaseTool]:
    """The tools, marked so; what is raw counts as written by somebody we trust.

    Raises:
        BadSetting: a tool is named that is not there.
    """
    if unknown := sorted(set(handlings.by_tool) - {one.name for one in tools}):
        raise BadSetting(f"BALLAST_UNTRUSTED: there is no tool {', '.join(unknown)}: see 'ballast tools'")
    return [_marked(one, handlings) for one in tools]


def _marked(tool: BaseTool, handlings: Handlings) -> BaseTool:
    marks, handling = marks_of(tool), handlings.of(tool.name)
    if handling == marks.handling or not marks.untrusted_output:
        return tool
    marks = replace(marks, handling=handling, untrusted_output=handling != "raw")
    return tool.model_copy(update={"metadata": {**(tool.metadata or {}), MARKS: marks}})
