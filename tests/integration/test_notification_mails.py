"""Approvals told by mail: real Postgres, real SMTP servers, good and bad."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from app.lifespan import Opened
from app.notifications import by_mail, deliver
from checkpoints import jobs
from tests.integration.conftest import Script
from tests.integration.notices_bench import ADDRESSES, asked, jobs_of, telling
from tests.integration.smtp_bench import Inbox, answering, serving


async def _mailed(everything: Opened, approval: str, *, to: str = "ann@example.com") -> None:
    await deliver(everything, jobs.MAIL, by_mail(everything), approval_id=approval, to=to)


async def test_each_address_gets_its_own_delivery_of_one_mail(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        ways = {"notify_mail": ADDRESSES, "smtp_url": f"smtp://127.0.0.1:{port}", "notify_from": "agent@example.com"}
        async with telling(database_url, tmp_path, **ways, public_url="https://b.example.com/x/") as everything:
            approval = await asked(everything, script)
            for job in await jobs_of(everything):
                await deliver(everything, job["queue"], by_mail(everything), **job["args"])

    assert [(one.mail_from, one.rcpt_tos) for one in inbox.taken] == [
        ("agent@example.com", ["ann@example.com"]),
        ("agent@example.com", ["bob@example.com"]),
    ]
    assert {mail["Message-ID"] for mail in inbox.mails} == {f"<{approval}@ballast>"}
    [mail, _] = inbox.mails
    assert (mail["Subject"], mail["To"]) == ("Approval needed: place_order (high)", ADDRESSES)
    text = mail.get_content()
    assert f"Decide: https://b.example.com/x/inbox/{approval}" in text
    assert "Reason:    spends money on an order" in text
    assert "Desk lamp" not in text


@pytest.mark.parametrize(
    ("replies", "again", "told"),
    [
        ({"RCPT": "550 nobody here"}, False, "refused ann@example.com (code 550)"),
        ({"RCPT": "451 later"}, True, "refused ann@example.com (code 451)"),
        ({"MAIL": "553 who are you"}, False, "refused the sender ballast@localhost (code 553)"),
        ({"GREETING": "421 busy"}, True, "it answered with code 421"),
        ({"GREETING": "554 go away"}, False, "it answered with code 554"),
        ({"EHLO": ""}, True, "closed"),
        ({"TEXT": "452 full"}, True, "refused the text (code 452)"),
        ({"TEXT": "552 too big"}, False, "refused the text (code 552)"),
        ({"TEXT": ""}, True, "cut off after the text: it may have been sent"),
    ],
)
async def test_a_mail_server_is_asked_again_unless_its_answer_is_final(  # noqa: PLR0913, PLR0917 - fixtures
    database_url: str,
    tmp_path: Path,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    replies: dict[str, str],
    again: bool,  # noqa: FBT001 - a column of the table
    told: str,
) -> None:
    async with answering(**replies) as port:
        ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://127.0.0.1:{port}"}
        async with telling(database_url, tmp_path, **ways) as everything:
            approval = await asked(everything, script)
            await _mailed(everything, approval)
            later = [job["args"] for job in await jobs_of(everything)][1:]

    assert later == ([{"approval_id": approval, "tried": 1, "to": "ann@example.com"}] if again else [])
    assert told in caplog.text


async def test_no_password_is_told_when_the_mail_server_is_not_there(
    database_url: str, tmp_path: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://ann:hunter2@127.0.0.1:{port}"}
    async with telling(database_url, tmp_path, **ways) as everything:
        await _mailed(everything, await asked(everything, script))
        assert len(await jobs_of(everything)) == 2

    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text


async def test_an_address_the_settings_no_longer_name_gets_nothing(
    database_url: str, tmp_path: Path, script: Script
) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        ways = {"notify_mail": "ann@example.com", "smtp_url": f"smtp://127.0.0.1:{port}"}
        async with telling(database_url, tmp_path, **ways) as everything:
            await _mailed(everything, await asked(everything, script), to="left@example.com")
            assert len(await jobs_of(everything)) == 1

    assert inbox.taken == []
