"""Full-text search: a real Postgres over real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checkpoints.database import Pool
from tests.integration.tools_bench import Bench, bench_on

NOTHING = "no document matches"


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Bench:
    made = bench_on(pool, tmp_path / "office")
    _put(made, "desks.txt", "Standing desks cost 389 dollars.")
    _put(made, "docs/lamps.MD", "A lamp for the desk costs 38 dollars.")
    _put(made, "mailbox/a.eml", "From: Ann <ann@example.com>\nSubject: =?utf-8?q?Br=C3=BCcke?=\n\nThe bridge closed.")
    return made


def _put(bench: Bench, path: str, text: str | bytes) -> None:
    target = bench.workspace / path
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())


async def _found(bench: Bench, query: str) -> list[str]:
    said = await bench.said("search_documents", query=query)
    return [] if said == NOTHING else [line.partition(": ")[0] for line in said.splitlines()]


async def test_words_are_found_in_any_form_and_marked_and_the_text_is_untrusted(bench: Bench) -> None:
    result = await bench.run("search_documents", query="standing DESK")

    assert result.text == "desks.txt: **Standing** **desks** cost 389 dollars"
    assert result.untrusted


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("bridge", ["mailbox/a.eml"]),
        ("Brücke", ["mailbox/a.eml"]),
        ("ann", ["mailbox/a.eml"]),
        ("lamp", ["docs/lamps.MD"]),
        ("desk dollars", ["desks.txt", "docs/lamps.MD"]),
        ('"standing desks"', ["desks.txt"]),
        ('"desks standing"', []),
        ("lamp or bridge", ["docs/lamps.MD", "mailbox/a.eml"]),
        ("desk -lamp", ["desks.txt"]),
        ("unicorn", []),
        ("the", []),
    ],
)
async def test_a_query_finds_what_it_asks_for(bench: Bench, query: str, paths: list[str]) -> None:
    assert sorted(await _found(bench, query)) == paths


async def test_all_words_are_wanted_first_and_any_word_only_when_no_document_has_them_all(bench: Bench) -> None:
    assert await _found(bench, "lamp desk") == ["docs/lamps.MD"]
    assert sorted(await _found(bench, "lamp bridge unicorn")) == ["docs/lamps.MD", "mailbox/a.eml"]


async def test_a_word_that_is_ruled_out_does_not_bring_in_everything_without_it(bench: Bench) -> None:
    assert await _found(bench, "unicorn -lamp") == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "\0",
        "desk\0",
        "\ud800",
        "'",
        "a & b' | !",
        "((((",
        '"',
        "\\",
        ":*",
        "<->",
        "%s %(x)s",
        "🎉",
        "x " * 300_000,
    ],
)
async def test_a_weird_query_is_answered(bench: Bench, query: str) -> None:
    assert isinstance(await _found(bench, query), list)


async def test_a_change_and_a_deletion_are_seen_by_the_next_search(bench: Bench) -> None:
    assert await _found(bench, "standing") == ["desks.txt"]

    _put(bench, "desks.txt", "Sitting desks.")
    _put(bench, "new.csv", "standing,order")
    assert await _found(bench, "standing") == ["new.csv"]

    (bench.workspace / "new.csv").unlink()
    assert await _found(bench, "standing") == []
    assert await _found(bench, "sitting") == ["desks.txt"]


async def test_an_unchanged_document_is_not_read_again(bench: Bench) -> None:
    await _found(bench, "standing")
    async with bench.pool.connection() as connection:
        await connection.execute("UPDATE documents SET body = 'a unicorn'")

    assert len(await _found(bench, "unicorn")) == 3


async def test_two_workspaces_do_not_see_each_others_documents(bench: Bench, pool: Pool, tmp_path: Path) -> None:
    other = bench_on(pool, tmp_path / "other")
    _put(other, "a.txt", "unicorn")

    assert await _found(other, "unicorn") == ["a.txt"]
    assert await _found(bench, "unicorn") == []


async def test_what_can_not_be_read_is_found_by_its_name_and_the_rest_as_usual(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("unicorn")
    (bench.workspace / "link.txt").symlink_to(tmp_path / "secret.txt")
    _put(bench, "binary.txt", b"unicorn\0")
    _put(bench, "mailbox/broken.eml", "unicorn")
    _put(bench, ".hidden.txt", "unicorn")
    _put(bench, "image.png", "unicorn")
    _put(bench, os.fsdecode(b"caf\xe9.txt"), "pegasus")
    with (bench.workspace / "unicorn.txt").open("wb") as file:
        file.truncate(50_000_000)

    assert await _found(bench, "unicorn.txt") == ["unicorn.txt"]
    assert await _found(bench, "unicorn") == []
    assert await _found(bench, "pegasus") == [r"caf\udce9.txt"]


async def test_a_mail_below_a_folder_of_the_mailbox_is_not_taken_for_one_beside_it(bench: Bench) -> None:
    _put(bench, "mailbox/old/a.eml", "Subject: x\n\nunicorn")

    assert await _found(bench, "unicorn") == ["mailbox/old/a.eml"]
    assert await _found(bench, "closed") == ["mailbox/a.eml"]


async def test_a_document_with_too_many_different_words_does_not_stop_all_search(bench: Bench) -> None:
    _put(bench, "long.txt", "unicorn " + " ".join(f"w{number:06x}" for number in range(120_000)))

    assert await _found(bench, "unicorn") == ["long.txt"]
    assert await _found(bench, "standing") == ["desks.txt"]
