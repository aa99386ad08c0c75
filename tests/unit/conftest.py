from __future__ import annotations

import os

import pytest


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of Ballast."""
    for name in list(os.environ):
        if name.upper().startswith(("BALLAST_", "OPENAI_")) or name in {"DATABASE_URL", "SMTP_URL"}:
            monkeypatch.delenv(name)
    return monkeypatch
