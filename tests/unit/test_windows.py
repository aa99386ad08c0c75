from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import tiktoken

from services import encodings
from services.windows import MOST_TOKENS, window_of


@pytest.mark.parametrize(
    ("chain", "tokens"),
    [
        ("openai:gpt-4o", 128_000),
        ("openai:gpt-5.4-mini", MOST_TOKENS),
        ("openai:gpt-5.4-mini, openai:gpt-3.5-turbo", 16_385),
        ("openai:nobody-knows-it", MOST_TOKENS),
        ("openai:", MOST_TOKENS),
        ("scripted:openai.yaml", MOST_TOKENS),
        ("offline", MOST_TOKENS),
    ],
)
def test_the_window_is_that_of_the_smallest_model_of_the_chain(chain: str, tokens: int) -> None:
    assert window_of(chain) == tokens


def test_where_tiktoken_keeps_its_files() -> None:
    assert encodings.cache_folder({"TIKTOKEN_CACHE_DIR": "/a", "DATA_GYM_CACHE_DIR": "/b"}) == Path("/a")
    assert encodings.cache_folder({"DATA_GYM_CACHE_DIR": "/b"}) == Path("/b")
    assert encodings.cache_folder({"TIKTOKEN_CACHE_DIR": ""}) is None
    default = encodings.cache_folder({})
    assert default is not None
    assert default.name == "data-gym-cache"


def test_a_file_that_is_missing_or_damaged_is_not_asked_for(tmp_path: Path) -> None:
    """tiktoken would delete it and fetch it anew."""
    content = b"aGVsbG8= 0\n"
    sha256 = hashlib.sha256(content).hexdigest()
    assert not encodings.holds(tmp_path, "mine", sha256)

    key = hashlib.sha1(encodings.URL.format(name="mine").encode(), usedforsecurity=False).hexdigest()
    (tmp_path / key).write_bytes(content)
    assert encodings.holds(tmp_path, "mine", sha256)
    (tmp_path / key).write_bytes(content[:-1])
    assert not encodings.holds(tmp_path, "mine", sha256)


def test_what_tiktoken_checks_against_is_what_is_checked_here() -> None:
    source = Path(str(tiktoken.__file__)).parent.parent / "tiktoken_ext/openai_public.py"
    text = source.read_text()

    assert encodings.URL.format(name=encodings.NEWEST) in text
    assert encodings.SHA256[encodings.NEWEST] in text


def test_control_tokens_in_a_text_are_text() -> None:
    bytes_only = tiktoken.Encoding(
        "bytes",
        pat_str=r"[\s\S]+",
        mergeable_ranks={bytes([n]): n for n in range(256)},
        special_tokens={"<|end|>": 256},
    )

    assert encodings.exact_tokens(bytes_only, "<|end|>") == len("<|end|>")
