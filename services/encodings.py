"""The models' own encodings, where this machine has one: nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import tiktoken

NEWEST = "o200k_base"
"""The encoding of OpenAI's current models, tiktoken's name for it."""

URL = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
SHA256 = {NEWEST: "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"}
"""What tiktoken itself checks a file against: one that differs it would fetch again, so it is not asked for."""


@cache
def cached_encoding() -> tiktoken.Encoding | None:
    """The encoding out of tiktoken's own cache; None when the cache does not hold it whole.

    Asked once a process: reading it takes most of a second.
    """
    folder = cache_folder(os.environ)
    return tiktoken.get_encoding(NEWEST) if folder and holds(folder, NEWEST, SHA256[NEWEST]) else None


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where tiktoken keeps what it downloaded, by its own rules; None when it was told to keep nothing."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in environment:
            return Path(environment[name]) if environment[name] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"


def holds(folder: Path, name: str, sha256: str) -> bool:
    """Whether the file of an encoding is there, whole."""
    key = hashlib.sha1(URL.format(name=name).encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256((folder / key).read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def exact_tokens(encoding: tiktoken.Encoding, text: str) -> int:
    """Tokens of a text, in which no sequence is taken for a control token."""
    return len(encoding.encode_ordinary(text))
