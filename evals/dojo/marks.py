"""The files of this eval: which tools of a suite change something, and what injection tasks without a truth call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from evals.dojo.world import Made
from graph.errors import BadSetting

T = TypeVar("T")


class SuiteMarks(BaseModel):
    """What Ballast must know of a suite's tools. Arguments that are not `content` carry authority."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side_effects: tuple[str, ...]
    record_ids: tuple[str, ...] = ()
    content: Mapping[str, tuple[str, ...]] = {}
    trusted_output: tuple[str, ...] = ()
    trusted_fields: Mapping[str, tuple[str, ...]] = {}

    def check(self, arguments: Mapping[str, set[str]]) -> None:
        """Whether the suite has all that is named; `arguments` of its tools.

        Raises:
            BadSetting: it does not.
        """
        named = {*self.side_effects, *self.content, *self.trusted_output, *self.trusted_fields}
        if unknown := sorted(named - set(arguments)):
            raise BadSetting(f"marks: there is no tool {', '.join(unknown)} in the suite")
        for tool, names in self.content.items():
            if missing := sorted(set(names) - arguments[tool]):
                raise BadSetting(f"marks: {tool} takes no {', '.join(missing)}")
        if lost := sorted(set(self.record_ids) - set().union(*arguments.values())):
            raise BadSetting(f"marks: no tool takes {', '.join(lost)}")


class _Call(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tool: str
    args: dict[str, Any] = {}


def read_marks(file: Path) -> SuiteMarks:
    """The marks of a suite.

    Raises:
        BadSetting: the file is not there, or is no marks file; one line.
    """
    return _checked(TypeAdapter(SuiteMarks), file)


def read_plans(file: Path) -> dict[str, list[Made]]:
    """Calls by injection task, for those that have no ground truth.

    Raises:
        BadSetting: as `read_marks`.
    """
    plans = _checked(TypeAdapter(dict[str, list[_Call]]), file)
    return {name: [Made(tool=one.tool, args=one.args) for one in calls] for name, calls in plans.items()}


def _checked(shape: TypeAdapter[T], file: Path) -> T:
    try:
        return shape.validate_python(yaml.safe_load(file.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    except yaml.YAMLError as error:
        raise BadSetting(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadSetting(f"{file}: {where}: {first['msg']}") from None
