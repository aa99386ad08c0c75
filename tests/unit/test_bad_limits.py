"""A limit or tenant that does not hold is one clear line, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from app.session import context_of
from graph.context import limits_by_tool
from graph.errors import BadSetting
from services.settings import load

pytestmark = pytest.mark.usefixtures("environment")

LIMITS = (
    *("max_iterations", "max_tool_calls", "max_tokens", "max_reply_tokens", "max_usd", "max_seconds"),
    *("max_thread_tokens", "max_thread_usd"),
)

BAD: list[tuple[str, Any]] = [
    *[(name, value) for name in LIMITS for value in (-1, 0, math.nan, math.inf, -math.inf, 10**30, 1e300)],
    *[("tool_limits", text) for text in ("list_files", "list_files=", "=3", "a=-1", "a=1.5", "a=b", "a=1;b=2", "a=²")],
    *[("tenant", name) for name in ("", "a\nb", "\x00", "\x1b[2J", "t" * 201, "\ud800")],
]


@pytest.mark.parametrize(("name", "value"), BAD)
@pytest.mark.parametrize("read", [load, context_of])
def test_a_bad_limit_is_refused_in_one_line_that_names_it(read: Callable[..., Any], name: str, value: Any) -> None:
    with pytest.raises(BadSetting) as refused:
        read(**{name: value})

    line = str(refused.value)
    assert line.startswith(f"BALLAST_{name.upper()} must be " if read is load else f"--{name.replace('_', '-')}: ")
    assert len(line.splitlines()) == 1


def test_a_whole_number_that_may_be_left_out_is_asked_for_as_one() -> None:
    with pytest.raises(
        BadSetting, match=r"^BALLAST_MAX_THREAD_TOKENS must be a whole number from 1 to 10+, got '1.5'$"
    ):
        load(max_thread_tokens=1.5)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "1e10", "1e999", "much", "1,5"])
def test_a_tenants_bad_day_is_refused_in_one_line(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("BALLAST_TENANT_USD_PER_DAY", value)
    with pytest.raises(BadSetting, match=r"^BALLAST_TENANT_USD_PER_DAY must be a number above 0 up to 1e\+09, got '"):
        load()


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "nan", "1000000001", "many"])
def test_a_tenants_bad_number_of_tool_calls_is_refused_in_one_line(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("BALLAST_TENANT_TOOL_CALLS_PER_DAY", value)
    with pytest.raises(BadSetting, match=r"^BALLAST_TENANT_TOOL_CALLS_PER_DAY must be a whole number from 1 to 10"):
        load()


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        (" , ,", {}),
        ("a=0", {"a": 0}),
        (" list files = 3 , b=10,", {"list files": 3, "b": 10}),
        ("a=" + "9" * 100, {"a": int("9" * 100)}),
    ],
)
def test_tool_limits_read_with_spaces_and_trailing_commas(text: str, limits: dict[str, int]) -> None:
    assert limits_by_tool(text) == limits


@pytest.mark.parametrize("tenant", ["a", "t" * 200, "Ünïcode 🚀", "'; DROP TABLE tenant_usd; --"])
def test_any_printable_name_may_be_a_tenants(tenant: str) -> None:
    assert load(tenant=tenant).tenant == tenant
    assert context_of(tenant=tenant).tenant == tenant
