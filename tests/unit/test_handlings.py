from __future__ import annotations

import pytest

from app.listing import listing
from graph.errors import BadSetting
from services.handlings import Handlings, parse_handlings
from services.settings import load
from tools import office
from tools.base import marks_of, tool


@pytest.mark.parametrize(
    ("text", "read_file", "fetch_url"),
    [
        ("", "strict", "strict"),
        ("marked", "marked", "marked"),
        ("strict,read_file=marked", "marked", "strict"),
        (" read_file = raw , marked ,", "raw", "marked"),
    ],
)
def test_each_tool_has_its_own_handling_or_the_usual_one(text: str, read_file: str, fetch_url: str) -> None:
    handlings = parse_handlings(text)

    assert (handlings.of("read_file"), handlings.of("fetch_url")) == (read_file, fetch_url)
    assert parse_handlings(str(handlings)) == handlings


@pytest.mark.parametrize("text", ["loose", "read_file=loose", "=raw", "raw,marked", "a=raw,a=marked", "read_file"])
def test_what_does_not_read_so_is_one_line_that_says_how(text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        load(untrusted=text)

    assert str(refused.value).startswith("BALLAST_UNTRUSTED must be one of strict, marked, raw for all tools")
    assert len(str(refused.value).splitlines()) == 1


def test_a_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadSetting, match="BALLAST_UNTRUSTED: there is no tool read_fil: see 'ballast tools'"):
        office.toolbox(handlings=Handlings(by_tool={"read_fil": "raw"}))


def test_raw_is_trusted_and_changes_no_other_box() -> None:
    box = office.toolbox(handlings=Handlings(by_tool={"read_file": "raw", "read_mail": "marked"}))

    assert (box.trust("read_file").untrusted, box.trust("read_mail").untrusted) == (False, True)
    assert (box.trust("read_mail").handling, box.trust("fetch_url").handling) == ("marked", "strict")
    assert office.toolbox().trust("read_file").untrusted


def test_what_is_trusted_already_stays_as_it_is() -> None:
    box = office.toolbox(handlings=Handlings(usual="marked"))

    assert marks_of(box.registered()[-1]).handling == "marked"
    assert not box.trust("get_order").untrusted


def test_a_tool_without_marks_is_strict_and_can_be_set() -> None:
    @tool(risk="low", untrusted_output=True, idempotent=True)
    async def look() -> str:
        """Look."""
        return ""

    bare = look.model_copy(update={"metadata": None})

    assert office.toolbox(more=[bare]).trust("look").handling == "strict"
    assert office.toolbox(more=[bare], handlings=Handlings(usual="marked")).trust("look").handling == "marked"


def test_what_is_raw_is_listed_as_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLAST_UNTRUSTED", "read_mail=raw")

    listed = {row["name"]: row["untrusted_output"] for row in listing()}

    assert (listed["read_mail"], listed["read_file"]) == (False, True)
