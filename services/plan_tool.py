"""The tool a planner answers with."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from services.plan_reader import PLAN


class PlannedTask(BaseModel):
    """One task of the plan."""

    id: str = Field(description="A short name for it, such as t1: letters, digits, _ or -, beginning with a letter.")
    tool: str = Field(description="The tool it calls.")
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="Its arguments. $t1.field stands for a field of what task t1 gave, $t1 for all.",
    )
    needs: list[str] = Field(
        default_factory=list, description="Ids of tasks that must end before it, those it refers to need not be named."
    )


class Plan(BaseModel):
    """Give the plan: all tasks, each with what it needs. Tasks that need nothing of each other run side by side."""

    tasks: list[PlannedTask]


PLAN_TOOL = StructuredTool(name=PLAN, description=str(Plan.__doc__), args_schema=Plan)
"""What the planner's model is offered. It is never run."""
