"""What people are told of an approval: never its arguments, and nothing that breaks out of its place."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from graph.approvals import Approval
from services.notices import mail, payload, signed

NOW = datetime(2030, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)
ROW = Approval(
    id="ap-0123456789ab",
    thread_id="t",
    interrupt_id="i",
    call_id="c",
    tool="send_email",
    args={"to": "secret-lover@example.com", "body": "private words"},
    risk="medium",
    reason="sends mail in your name",
    deadline=NOW + timedelta(minutes=5),
    status="pending",
    created_at=NOW.astimezone(timezone(timedelta(hours=2))),
    requester="ann",
)
BASE = "https://ballast.example.com"


def _mail(row: Approval) -> EmailMessage:
    data = mail(row, base=BASE, sender="ballast@example.com", to=["ann@example.com", "bob@example.com"], now=NOW)
    message: Any = message_from_bytes(data, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_the_payload_says_what_waits_until_when_and_where() -> None:
    assert json.loads(payload(ROW, base=BASE)) == {
        "type": "approval.requested",
        "timestamp": "2030-01-01T12:00:00.900000Z",
        "data": {
            "id": "ap-0123456789ab",
            "thread_id": "t",
            "tool": "send_email",
            "risk": "medium",
            "reason": "sends mail in your name",
            "requester": "ann",
            "deadline": "2030-01-01T12:05:00.900000Z",
            "link": "https://ballast.example.com/inbox/ap-0123456789ab",
        },
    }


def test_an_action_without_a_deadline_says_so() -> None:
    row = replace(ROW, risk="high", deadline=None)

    assert json.loads(payload(row, base=BASE))["data"]["deadline"] is None
    assert "none, it waits until someone decides" in _mail(row).get_content()


def test_the_signature_is_the_specifications_own_example() -> None:
    # From the specification's libraries: key, id, time and text with the signature they come to.
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    now = datetime.fromtimestamp(1614265330, UTC)

    heads = signed('{"test": 2432232314}', message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", key=key, now=now)

    assert heads == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_id_time_and_text_are_all_signed() -> None:
    heads = signed("{}", message_id="ap-1", key=b"k" * 32, now=NOW)

    digest = hmac.new(b"k" * 32, f"ap-1.{int(NOW.timestamp())}.{{}}".encode(), hashlib.sha256).digest()
    assert heads["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_the_mail_says_the_same_to_a_person() -> None:
    message = _mail(ROW)

    assert (message["From"], message["To"]) == (
        "Ballast <ballast@example.com>",
        "ann@example.com, bob@example.com",
    )
    assert message["Subject"] == "Approval needed: send_email (medium)"
    assert message["Message-ID"] == "<ap-0123456789ab@ballast>"
    assert (message["Auto-Submitted"], message["Date"].datetime) == ("auto-generated", NOW.replace(microsecond=0))
    assert message.get_content_type() == "text/plain"
    text = message.get_content()
    assert "Reason:    sends mail in your name\n" in text.replace("\r", "")
    assert "Asked by:  ann\n" in text.replace("\r", "")
    assert "2030-01-01 12:05:00 UTC, then it goes out by itself unless cancelled" in text
    assert "https://ballast.example.com/inbox/ap-0123456789ab\n" in text.replace("\r", "")


def test_a_repeat_is_the_same_mail() -> None:
    to = ["ann@example.com"]
    first, second = (mail(ROW, base=BASE, sender="b@example.com", to=to, now=NOW) for _ in range(2))

    assert first == second


def test_arguments_are_in_neither() -> None:
    told = payload(ROW, base=BASE) + _mail(ROW).as_string()

    assert "secret-lover" not in told
    assert "private" not in told


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b", "\u202e\n", "\x00\n"])
@pytest.mark.parametrize("field", ["tool", "reason", "requester", "thread_id"])
def test_no_field_ends_its_line(field: str, end: str) -> None:
    broken: dict[str, Any] = {field: f"x{end}Bcc: eve@example.com{end}{end}Tier:      low"}
    row = replace(ROW, **broken)

    message = _mail(row)

    assert message["Bcc"] is None
    assert message["To"] == "ann@example.com, bob@example.com"
    lines = message.get_content().splitlines()
    assert [line for line in lines if line.startswith(("Bcc", "Tier:"))] == ["Tier:      medium"]


def test_a_long_reason_is_cut() -> None:
    row = replace(ROW, reason="why " * 1_000)

    assert len(json.loads(payload(row, base=BASE))["data"]["reason"]) == 1_000
    assert len(_mail(row).get_content()) < 2_000


def test_other_scripts_arrive() -> None:
    message = _mail(replace(ROW, tool="überweisung", requester="Zoë 李"))

    assert message["Subject"] == "Approval needed: überweisung (medium)"
    assert "Zoë 李" in message.get_content()
