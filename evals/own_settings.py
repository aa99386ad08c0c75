"""Settings of an eval: a database of its own, and nothing outside that is asked or told."""

from __future__ import annotations

from pathlib import Path

from services import settings
from services.handlings import Handlings
from services.mcp_file import Servers
from services.policy import Policy
from services.settings import Settings
from tools.mcp_listing import PREFIX


def own_settings(database_url: str, home: Path) -> Settings:
    """What the environment says, but for policy, guards, MCP servers and whatever else is not what is measured.

    The extractor is none of the operator's either: the worst-case model plays it. How untrusted texts are handled stays
    theirs, but for tools of their MCP servers, which are not there.

    Raises:
        BadSetting: the environment does not hold.
    """
    own = settings.load(
        database_url=database_url,
        home=home,
        policy=Policy(),
        guards=None,
        mcp=Servers(),
        extractor_model=None,
        rates={},
        redis_url=None,
        notify_webhook=None,
        smtp_url=None,
        tenant_tool_calls_per_day=1_000_000_000,
    )
    here = {name: how for name, how in own.untrusted.by_tool.items() if not name.startswith(PREFIX)}
    return own.model_copy(update={"untrusted": Handlings(usual=own.untrusted.usual, by_tool=here)})
