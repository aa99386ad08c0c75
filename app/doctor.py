"""`ballast doctor`: is everything a run needs in place?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from app.cli_mcp import standing as standing_of_servers
from app.lifespan import Opened
from app.standing import standing
from graph.durable import check_tool_limits
from graph.errors import BadSetting, SignInUnavailable
from graph.guards import Guards
from services.guards.chain import Chain
from services.policy import Policy
from services.rates import RateLimit
from services.settings import Settings


async def examine(opened: Opened) -> list[dict[str, Any]]:
    """One row a check: {"check", "ok", "status"}.

    Opening the services has proven the database, the rates, the policy and Redis already: it refuses what
    does not hold.
    """
    settings = opened.settings
    async with opened.pool.connection() as connection:
        row: dict[str, Any] | None = await (
            await connection.execute(
                "SELECT current_setting('server_version') AS postgres, max(version) AS schema FROM ballast_schema"
            )
        ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives a row
    chain = f"ok: {settings.model}"
    try:
        opened.check_chain(settings.model)
    except BadSetting as error:
        chain, runs = str(error), False
    else:
        runs = True
    limits = f"ok: {settings.tool_limits}" if settings.tool_limits.strip() else "not set: only the limit on all calls"
    try:
        check_tool_limits(settings.tool_limits, opened.services.tools)
    except BadSetting as error:
        limits, limited = str(error), False
    else:
        limited = True
    workspace = settings.workspace
    there = await asyncio.to_thread(workspace.is_dir)
    engine = "DATABASE_URL" if settings.database_url else "embedded"
    return [
        _row("database", f"ok: {engine}, Postgres {row['postgres']}"),
        _row("schema", f"ok: version {row['schema']}"),
        _row("model chain", chain, ok=runs),
        _row("tool limits", limits, ok=limited),
        _row("rates", _rates(settings.rates)),
        _row("policy", _policy(settings.policy)),
        _row("trusted", _trusted(settings.policy)),
        _row("untrusted", f"ok: {settings.untrusted}"),
        _row(
            "extractor", f"ok: {settings.extractor_model}" if settings.extractor_model else "not set: a run's own chain"
        ),
        _row("guards", _guards(opened.services.guards, settings)),
        await _mcp(opened),
        _row("redis", "ok: answers" if settings.redis_url else "not set: breakers and rates are this process's own"),
        _row("workspace", f"ok: {workspace}" if there else f"no folder {workspace}: set BALLAST_WORKSPACE", ok=there),
        _row("notifications", _told(settings)),
        _row("encryption", "on" if settings.encryption_key else "off: set BALLAST_ENCRYPTION_KEY"),
        _row("sign-in", await standing(opened)),
        await _issuer(opened),
    ]


async def _mcp(opened: Opened) -> dict[str, Any]:
    """Asks every server: one that lists anything but what was approved is cut off here, too."""
    well, told = standing_of_servers(await opened.mcp.examine())
    return _row("mcp", told, ok=well)


async def _issuer(opened: Opened) -> dict[str, Any]:
    if opened.issuer is None:
        return _row("issuer", "not set: no JSON web tokens are taken")
    try:
        await opened.issuer.check()
    except SignInUnavailable as error:
        return _row("issuer", str(error), ok=False)
    return _row("issuer", f"ok: {opened.issuer.settings.url}")


def _rates(rates: Mapping[str, RateLimit]) -> str:
    told = ",".join(f"{name}={one.calls}/{one.seconds:g}" for name, one in rates.items())
    return f"ok: {told}" if told else "not set: only what tools declare"


def _policy(policy: Policy) -> str:
    tightened = ", ".join(policy.tools) or "no tool"
    return f"ok: {policy.file}, for {tightened}" if policy.file else "not set: each tool's own tier"


def _trusted(policy: Policy) -> str:
    told = ", ".join(f"{name} for {' '.join(one.arguments)}" for name, one in policy.trusted.items())
    return f"ok: {told}" if told else "not set: arguments come from people and trusted tools alone"


def _guards(guards: Guards, settings: Settings) -> str:
    if not isinstance(guards, Chain):
        return "not set: no guards"
    told = (f"{stage} {', '.join(one.name for one in asked)}" for stage, asked in guards.guards.items() if asked)
    low = "passed over where only low is at stake" if guards.open_for_low else "it stops the text"
    return f"ok: {settings.guards}: {'; '.join(told) or 'none'}; when one fails {low}"


def _told(settings: Settings) -> str:
    ways = ["the webhook"] if settings.notify_webhook else []
    ways += [f"mail to {', '.join(settings.notify_mail)}"] if settings.notify_mail else []
    told = f"ok: {' and '.join(ways)}, with links to {settings.public_url}"
    return told if ways else "off: set BALLAST_NOTIFY_WEBHOOK or BALLAST_NOTIFY_MAIL"


def _row(check: str, status: str, *, ok: bool = True) -> dict[str, Any]:
    return {"check": check, "ok": ok, "status": status}
