"""An eval measures Ballast, not what the environment happens to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.own_settings import own_settings
from services.handlings import Handlings


def test_no_guard_extractor_server_or_policy_of_the_operators_takes_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POLICY", "GUARDS", "MCP", "NOTIFY_WEBHOOK"):  # none of these can be read
        monkeypatch.setenv(f"BALLAST_{name}", str(tmp_path / "nowhere.yaml"))
    monkeypatch.setenv("BALLAST_EXTRACTOR_MODEL", "openai:gpt-5.4-mini")
    monkeypatch.setenv("BALLAST_REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("SMTP_URL", "smtp://nowhere")

    own = own_settings("postgresql://own", tmp_path)

    assert (own.database_url, own.home) == ("postgresql://own", tmp_path)
    assert (own.guards, own.extractor_model, own.redis_url, own.smtp_url, own.notify_webhook) == (None,) * 5
    assert (own.mcp.servers, own.policy.file) == ({}, "")


def test_the_operators_handling_stays_but_for_tools_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BALLAST_UNTRUSTED", "marked,read_mail=raw,mcp__files__read=raw")

    assert own_settings("postgresql://own", tmp_path).untrusted == Handlings(
        usual="marked", by_tool={"read_mail": "raw"}
    )
