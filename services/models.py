"""The model chain: members tried in order until one answers, every attempt counted and priced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, UsageMetadata
from langchain_core.tools import BaseTool

from graph.context import Reply, Role, Spent
from graph.errors import BadSetting, ModelFailed
from services.faults import failure_line, usage_of
from services.members import FORMS, Builder, Member
from services.settings import Settings
from services.streamed import estimated_usage

KEPT_MEMBERS = 32


class ModelChain:
    """Implements `graph.context.Models`. Builds each member once; keeps nothing of a run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._builder = Builder(settings)
        self._members: dict[tuple[str, int], Member] = {}

    def check(self, chain: str) -> None:
        """Refuse a chain that can't run, before a run starts on it.

        Raises:
            BadSetting: a member is unknown, has no key or no known price, or its script does not hold.
        """
        for name in _names(chain):
            self._member(name)

    async def complete(
        self,
        chain: str,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[BaseTool] = (),
        role: Role = "agent",
        turn: int = 0,
    ) -> Reply:
        """Ask the chain's models in order until one answers.

        `turn` is for scripts. Every script of the chain is asked for the same turn, whichever members
        failed before it: a fallback script reads like the one it stands in for.

        Raises:
            BadSetting: see `check`.
            ModelFailed: all of them failed; `spent` on the error says what that cost.
        """
        members = [self._member(name) for name in _names(chain)]
        failures: list[str] = []
        spent = Spent(calls=0)
        for member in members:
            try:
                message = await member.ask(messages, tools=tools, role=role, turn=turn)
            except Exception as error:  # noqa: BLE001 - a client may raise anything on a bad answer; it is told
                failures.append(failure_line(member.name, error, secrets=self._secrets()))
                spent = _added(spent, member, usage_of(error))
                continue
            usage = message.usage_metadata or estimated_usage(messages, message)
            return Reply(
                message=_identified(message, usage),
                model=member.name,
                spent=_added(spent, member, usage),
                failures=tuple(failures),
            )
        raise ModelFailed(failures, spent)

    async def aclose(self) -> None:
        """Close connections to providers; on the event loop that used them."""
        await self._builder.aclose()

    def _member(self, name: str) -> Member:
        """Built once; a script again when its file has changed."""
        key = (name, _written_at(name))
        if key not in self._members:
            built = self._builder.build(name)
            if len(self._members) >= KEPT_MEMBERS:
                del self._members[next(iter(self._members))]
            self._members[key] = built
        return self._members[key]

    def _secrets(self) -> list[str]:
        key = self._settings.openai_api_key
        return [key.get_secret_value()] if key else []


def _names(chain: str) -> list[str]:
    names = [name.strip() for name in chain.split(",")]
    if not all(names):
        raise BadSetting(f"model chain {chain!r} has an empty member: BALLAST_MODEL is a list of {FORMS}")
    return names


def _written_at(name: str) -> int:
    """When the file behind a script was last written, in ns; 0 for all other members."""
    kind, _, path = name.partition(":")
    try:
        return Path(path).stat().st_mtime_ns if kind == "scripted" else 0
    except OSError:
        return 0  # building it says what is wrong


def _added(spent: Spent, member: Member, usage: UsageMetadata) -> Spent:
    usd = member.usd(usage)
    return replace(
        spent,
        calls=spent.calls + 1,
        prompt_tokens=spent.prompt_tokens + usage["input_tokens"],
        completion_tokens=spent.completion_tokens + usage["output_tokens"],
        cost_usd=None if usd is None or spent.cost_usd is None else spent.cost_usd + usd,
    )


def _identified(message: AIMessage, usage: UsageMetadata) -> AIMessage:
    """With usage, and an id no other message has.

    LangChain's own id for a call is kept: clients match streamed tokens with the stored message by it. An
    id that came from the provider may repeat, so it is replaced.
    """
    own = message.id if message.id and message.id.startswith("lc_run-") else uuid4().hex
    return message.model_copy(update={"id": own, "usage_metadata": usage})
