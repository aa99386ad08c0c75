"""Telling people of new approvals, by webhook and mail: at least once while the approval waits, and never in its way.

What fails is tried again by another job, later: a retry of procrastinate's would count by this process' clock, and
put a traceback into the log.
"""

from __future__ import annotations

import asyncio
import logging
import random
import smtplib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from procrastinate import App

from app.lifespan import Opened
from app.queues import Queue, WhenCutOff
from checkpoints import jobs
from graph.approvals import Approval
from services import notices
from services.receivers import signing_key
from services.webhook import Failure, Webhook
from tools.delivery import NotSent, over_smtp

AT_ONCE, POLL_S = 2, 1.0
TRIES = 8
FIRST_S, GROWS, LONGEST_S = 5.0, 3.0, 1_200.0
"""Pauses of 5, 15, 45, 135, 405 and twice 1,200 seconds: the last try is some 50 minutes after the first."""
JITTER = 0.2
"""Part of a pause that is added or taken off at random, so that what failed together does not come back together."""
LONGEST_RETRY_AFTER_S = 3_600.0
FINAL = 500
"""From here on a mail server's reply stays the same (RFC 5321, 4.2.1)."""

Send = Callable[..., Awaitable[Failure | None]]
"""Hands over an approval, by what else its job names; None when it arrived."""

_log = logging.getLogger(__name__)


def queues(opened: Opened) -> list[Queue]:
    """A queue for each way this process is set up for. Jobs for another way wait for a process that is."""
    ways: dict[str, Send] = {}
    if opened.settings.notify_webhook:
        ways[jobs.WEBHOOK] = by_webhook(opened)
    if opened.settings.notify_mail:
        ways[jobs.MAIL] = by_mail(opened)
    return [
        Queue(name=way, add_tasks=partial(_add_task, opened, way, send), at_once=AT_ONCE, poll_s=POLL_S)
        for way, send in ways.items()
    ]


def _add_task(opened: Opened, way: str, send: Send, app: App) -> None:
    @app.task(name=way, queue=way, retry=WhenCutOff())
    async def task(**job: Any) -> None:
        await deliver(opened, way, send, **job)


async def deliver(opened: Opened, way: str, send: Send, *, approval_id: str, tried: int = 0, **to: str) -> None:
    """Tell of the approval, if it still waits; when that fails and may not later, have it tried again."""
    rows = await opened.approvals.get_all([approval_id])
    if not rows or rows[0].status != "pending":
        _log.info("approval %s: decided before it was told by %s", approval_id, way)
        return
    try:
        failure = await send(rows[0], **to)
    except Exception as error:  # noqa: BLE001 - a bug is no reason to be silent; its words may hold the address
        failure = Failure(why=type(error).__name__)
    if failure is None:
        _log.info("approval %s: told by %s", approval_id, way)
        return
    tried += 1
    why = " ".join(failure.why.split())
    if failure.again is False or tried >= TRIES:
        _log.error("approval %s: can't be told by %s, given up after %d tries: %s", approval_id, way, tried, why)
        return
    pause = pause_s(tried, failure.again)
    _log.warning("approval %s: not told by %s, again in %.0f s: %s", approval_id, way, pause, why)
    await opened.approvals.tell_later(way, {"approval_id": approval_id, "tried": tried, **to}, pause)


def pause_s(tried: int, again: bool | float, *, chance: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds until the next try, when so many failed; a receiver that said when is not asked earlier."""
    pause = min(FIRST_S * GROWS ** (tried - 1), LONGEST_S) * (1 + chance(-JITTER, JITTER))
    return pause if again is True else max(pause, min(again, LONGEST_RETRY_AFTER_S))


def by_webhook(opened: Opened) -> Send:
    """Posts an approval to the webhook of the settings, under its own id."""
    url, secret = opened.settings.notify_webhook, opened.settings.notify_secret
    assert url and secret  # noqa: S101, PT018 - settings have both or neither
    hook = Webhook(url, signing_key(secret.get_secret_value()), opened.services.clock)

    async def send(row: Approval) -> Failure | None:
        return await hook.post(row.id, notices.payload(row, base=opened.settings.public_url))

    return send


def by_mail(opened: Opened) -> Send:
    """Mails an approval to one of the addresses of the settings."""
    settings = opened.settings
    assert settings.smtp_url  # noqa: S101 - settings with addresses have it
    url, sender = settings.smtp_url.get_secret_value(), settings.notify_from

    async def send(row: Approval, to: str) -> Failure | None:
        if to not in settings.notify_mail:
            return Failure(why="the settings no longer name the address", again=False)
        now = opened.services.clock.now()
        text = notices.mail(row, base=settings.public_url, sender=sender, to=settings.notify_mail, now=now)
        try:
            await asyncio.to_thread(over_smtp, url, sender, [to], text)
        except NotSent as error:
            return Failure(why=str(error), again=error.code is None or error.code < FINAL)
        except smtplib.SMTPServerDisconnected:
            return Failure(why="cut off after the text: it may have been sent")
        return None

    return send
