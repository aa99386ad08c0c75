from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from graph.budget import Budget
from graph.errors import BadSetting
from graph.guards import Allowed, Seen, Verdict
from services.endpoints import endpoints_of
from services.guards.chain import Chain
from services.guards.file import load
from services.settings import load as load_settings

EXAMPLE = Path(__file__).parents[2] / "examples/guards.yaml"


class Kind:
    async def check(self, seen: Seen, *, budget: Budget) -> Verdict:  # noqa: ARG002 - it looks at nothing
        return Allowed()


class Picky:
    def __init__(self) -> None:
        raise RuntimeError("no\nword list")


class Mute:
    pass


def chain(path: Path, **settings: Any) -> Chain:
    chosen = load_settings(openai_api_key=None, guards=path, **settings)
    return load(chosen, endpoints_of(chosen))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "guards.yaml"


def test_the_example_loads_as_it_is() -> None:
    one = chain(EXAMPLE)

    assert [one.on(stage) for stage in ("input", "content", "output", "arguments")] == [False, True, True, True]
    assert (one.seconds, one.open_for_low) == (10, False)


def test_each_guard_is_made_once_and_asked_where_it_is_named(file: Path) -> None:
    own = f"{__name__}:Kind"
    spec = "llamaguard:meta/guard-3@http://u:pw@127.0.0.1:1/v1"
    file.write_text(
        f"input: ['{own}', detector, '{spec}']\noutput: ['{own}', '{spec}']\nseconds: 2.5\nopen_for_low: true"
    )

    one = chain(file, prices="meta/guard-3=0/0", guards_key=SecretStr("k"))

    assert [named.name for named in one.guards["input"]] == [own, "detector", "llamaguard:meta/guard-3"]
    assert one.guards["input"][0] is one.guards["output"][0]
    assert len(one.connected) == 1
    assert (one.seconds, one.open_for_low) == (2.5, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- detector", " must be a mapping of stages to lists of guards; unset BALLAST_GUARDS to have none"),
        ("inputs: [detector]", ", inputs: there is no such field: use input, content, output, arguments, seconds,"),
        ("input: detector", ", input: write a list, - ... a line"),
        ("input: [3]", ", input.0: write text, in quotes if it looks like a number"),
        (f"input: {['detector'] * 21}", ", input: there are too many: keep the first 20"),
        ("seconds: 0", ", seconds: Input should be greater than 0"),
        ("open_for_low: 1", ", open_for_low: write true or false"),
        ("input: [llama]", ": llama: no guard is named so: the forms are detector, redact:"),
        ("input: ['redact:names']", ": redact:names: there is no such kind: use secrets, cards, ibans, addresses"),
        ("input: ['llamaguard:guard']", ": llamaguard:guard: write llamaguard:MODEL@BASE_URL, such as"),
        ("input: ['llamaguard:own@http://h/v1']", ": llamaguard:own: no price is known for model openai:own"),
        ("input: ['nowhere.to:Find']", ": nowhere.to:Find: it could not be made: ModuleNotFoundError: No module"),
        (f"input: ['{__name__}:Gone']", "it could not be made: AttributeError"),
        (f"input: ['{__name__}:Picky']", "it could not be made: RuntimeError: no word list"),
        (f"input: ['{__name__}:Mute']", "it has no method check: see graph.guards.Guard"),
        ("input: ['nemo:rails']", ": nemo:rails: it needs the extra nemo: pip install 'ballast[nemo]'"),
    ],
)
def test_what_does_not_hold_is_refused_in_one_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setitem(sys.modules, "nemoguardrails", None)  # as where the extra is not installed
    file.write_text(text)

    with pytest.raises(BadSetting) as refused:
        chain(file)

    assert str(refused.value).startswith(f"BALLAST_GUARDS: {file}")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"^BALLAST_GUARDS: .*none\.yaml: there is no such file"):
        chain(tmp_path / "none.yaml")


@pytest.mark.parametrize("spec", ["llamaguard:own@http://ann:s3cret@h/v1", "llamaguard:https://ann:s3cret@h/v1"])
def test_the_password_of_an_endpoint_is_not_shown(file: Path, spec: str) -> None:
    file.write_text(f"input: ['{spec}']")

    with pytest.raises(BadSetting) as refused:
        chain(file)

    assert "s3cret" not in str(refused.value)
