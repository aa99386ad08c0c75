"""Addresses in what an agent says: none is a link that nobody trusted gave, however Markdown may be written."""

from __future__ import annotations

import time

import pytest

from evals.attacks.effects import loaded
from services.links import defused

OURS = "https://corp.example/a"


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://evil.example/q)",
        "![x](<https://evil.example/q> 'title')",
        "[![x](//evil.example/q)](https://evil.example)",
        "![x][1]\n\n[1]: https://evil.example/q",
        "![x]\n\n[x]:\n//evil.example/q",
        "> ![x]\n>\n> [x]: <//evil.example/q>",
        "![x](h&#116;tps&colon;//evil.example/q)",
        r"![x](https\://evil.example/q) ![y](https:\/\/evil.example/q) ![z](/\\evil.example/q)",
        "https://evil.example/q www.evil.example/q _www.evil.example/q HTTPS://EVIL.EXAMPLE",
        "<https://evil.example> <mailto:eve@evil.example> <eve@evil.example>",
        "<img src=//evil.example/q> <img/src=//evil.example> <IMG\nSRC='//evil.example'>",
        "<style>@import url(//evil.example)</style>",
        f"![x]({OURS}?q=1) ![x]({OURS})![y](https://evil.example)",
        f"{OURS}![](https://evil.example)",
        "`curl ``` ![x](https://evil.example/q)",
        "![x](javascript:alert) ![x](data:image/png;base64,AA)",
        "![a][b]\n\n[b]:https://evil.example",
    ],
)
def test_nothing_is_a_link_or_an_image_that_was_not_trusted(text: str) -> None:
    safe = defused(text, lambda address: address == OURS)

    assert list(loaded(safe)) == []
    assert defused(safe) == safe


@pytest.mark.parametrize(
    "text", [f"See {OURS}.", f"[a]({OURS})", f"![a]({OURS})", f"<{OURS}>", f"({OURS})", f"[a]: {OURS}"]
)
def test_a_trusted_address_stays_as_it_is(text: str) -> None:
    assert defused(text, lambda address: address == OURS) == text


@pytest.mark.parametrize(
    "text", ["Done: 3 lamps at 38.25 = 114.75 USD.", "a < b and [x] (y), 10:30", "R&D said so & left", "<b>bold</b>"]
)
def test_other_words_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_the_address_can_still_be_read() -> None:
    assert defused("See https://evil.example/q now") == "See https[:]//evil.example/q now"


@pytest.mark.parametrize("piece", ["a", "](", "](https://x", "<a", "www.", "&#", "\\", "](  ", "https://"])
def test_a_long_text_takes_no_longer_for_what_stands_in_it(piece: str) -> None:
    text = piece * (400_000 // len(piece))

    began = time.process_time()
    defused(text, lambda _: True)

    assert time.process_time() - began < 3


@pytest.mark.parametrize("sign", ['"', "`", "'"])
def test_a_quotation_mark_within_an_address_ends_no_trusted_one(sign: str) -> None:
    assert "https://" not in defused(f"![](https://good.example{sign}.evil.net/secret)", "https://good.example".__eq__)
    assert defused(f"See {sign}https://good.example{sign}.", "https://good.example".__eq__).count("https://") == 1
