"""A sub-task of a plan: what a small agent is asked to find out, and how far it may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Subtask(BaseModel):
    """The arguments of a task whose tool is `graph.plan.SUBTASK`."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(min_length=1, max_length=10_000)
    """The request. It may refer to results; they are shown below it as data."""
    max_iterations: int = Field(5, ge=1, le=20)
    max_tool_calls: int = Field(5, ge=0, le=50)


def read_subtask(args: Mapping[str, Any]) -> Subtask:
    """The sub-task these arguments describe.

    Raises:
        ValueError: they describe none. One line with what is wrong.
    """
    try:
        return Subtask.model_validate(dict(args))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
