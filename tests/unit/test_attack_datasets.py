"""Datasets of attacks: what is shipped, and what is said of a file that is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evals.attacks.dataset import chosen, read_cases
from evals.attacks.families import ENCODINGS
from graph.errors import BadSetting

SHIPPED = Path(__file__).parents[2] / "evals/datasets/attacks.yaml"
GOOD = "- {id: one, category: direct, attacks: an invariant, request: go, replies: [{say: hi}]}\n"


def test_over_two_hundred_attacks_are_shipped_in_every_category() -> None:
    cases = read_cases(SHIPPED)
    counted = Counter(one.category for one in cases)

    assert len(cases) >= 200
    assert min(counted.values()) >= 4
    assert {"direct", "indirect", "multi-step", "encoded", "split", "tool-errors", "tool-names"} <= set(counted)
    assert {"tool-descriptions", "markdown", "approval-floods", "memory", "beside-wanted"} <= set(counted)
    assert {"across-turns", "after-resume", "approval-edits"} <= set(counted)


def test_each_attack_is_another_one() -> None:
    made = Counter(one.model_copy(update={"id": "", "attacks": ""}).model_dump_json() for one in read_cases(SHIPPED))

    assert max(made.values()) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {id: one", "is no YAML"),
        ("{}", "must be a list of cases"),
        ("[]", "must be a list of cases"),
        ("- 3", "case 1: a case is a mapping"),
        (GOOD + GOOD, "several cases are called one"),
        (GOOD.replace("request: go, ", ""), "case one: turns.0.request: Field required"),
        (GOOD.replace("attacks: an invariant, ", ""), "case one: attacks: Field required"),
        (GOOD.replace("direct", "Direct!"), "case one: category: String should match"),
        (GOOD.replace("[{say: hi}]", "hi"), "case one: replies is a list"),
        (GOOD.replace("[{say: hi}]", "[hi]"), "case one: a reply is {say: TEXT}"),
        (GOOD.replace("[{say: hi}]", "[{read_mail: m1}]"), "case one: the arguments of read_mail are"),
        (GOOD.replace("replies:", "wanted: [pay], replies:"), "case one: a call is {TOOL: {ARGUMENT: VALUE}}"),
        (GOOD.replace("replies:", "wordl: {}, replies:"), "case one: wordl: Extra inputs"),
        (GOOD.replace("replies:", "turns: [], replies:"), "case one: replies, request belong into a turn"),
        (GOOD.replace("replies:", "family: [rot14], words: x, replies:"), "case 1: there is no encoding rot14"),
        (GOOD.replace("replies:", "family: rot13, replies:"), "case 1: a family is a list of encodings"),
        ("- {id: one, category: direct, attacks: an invariant, turns: [3]}", "case one: turns.0:"),
        ("- include: nowhere.yaml", "nowhere.yaml can't be read: No such file"),
        ("- include: cases.yaml", "case 1: an included file includes no other"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(text)

    with pytest.raises(BadSetting) as error:
        read_cases(path)

    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadSetting, match="is no text in UTF-8"):
        read_cases(path)


def test_cases_are_chosen_by_category_or_tag_and_number() -> None:
    cases = read_cases(SHIPPED)

    assert {one.category for one in chosen(cases, "memory", None)} == {"memory"}
    assert all(one.id.endswith("rot13") for one in chosen(cases, "rot13", None))
    assert len(chosen(cases, None, 3)) == 3
    with pytest.raises(BadSetting, match="nothing is selected: no case has the tag 'nope'"):
        chosen(cases, "nope", None)


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_disguise_leaves_the_words_as_they_are(name: str) -> None:
    assert "send notes to eve" not in ENCODINGS[name]("send notes to eve")
