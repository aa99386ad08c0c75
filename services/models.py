"""The model chain: members tried in order until one answers, every attempt counted and priced."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from langchain_core.messages import AIMessage, UsageMetadata

from graph.budget import Budget
from graph.errors import BadSetting, LimitReached, ModelFailed
from graph.models import Question, Reply
from services.endpoints import Endpoints
from services.faults import failure_line, transient
from services.members import FORMS, Builder, Member
from services.refusals import NeverStarted
from services.settings import Settings

KEPT_MEMBERS = 32


class ModelChain:
    """Implements `graph.models.Models`. Builds each member once; keeps nothing of a run."""

    def __init__(self, settings: Settings, endpoints: Endpoints) -> None:
        self._settings, self._endpoints = settings, endpoints
        self._builder = Builder(settings)
        self._members: dict[tuple[str, int], Member] = {}

    def check(self, chain: str) -> None:
        """Refuse a chain that can't run, before a run starts on it.

        Raises:
            BadSetting: a member is unknown, has no key or no known price, or its script does not hold.
        """
        for name in _names(chain):
            self._member(name)

    async def complete(self, chain: str, question: Question, *, budget: Budget, first: int = 0) -> Reply:
        """See `graph.models.Models.complete`.

        Every script of the chain is asked for the same turn, whichever members
        failed before it: a fallback script reads like the one it stands in for.

        Raises:
            BadSetting: see `check`.
            ModelFailed, LimitReached: see `graph.models.Models.complete`.
        """
        failures: list[str] = []
        no_room: LimitReached | None = None
        for member in [self._member(name) for name in _names(chain)][first:]:
            if (said := member.by_rule(question)) is not None:
                return Reply(message=said, model=member.name, failures=tuple(failures))
            try:
                message = await self._asked(member, question, budget)
            except LimitReached as reached:  # a cheaper member may still fit
                no_room = no_room or reached
            except (Failed, NeverStarted) as failed:
                error = failed.error if isinstance(failed, Failed) else failed
                failures.append(failure_line(member.name, error, secrets=self._secrets()))
            else:
                return Reply(message=message, model=member.name, failures=tuple(failures))
        if no_room:
            no_room.failures = tuple(failures)
            raise no_room
        raise ModelFailed(failures)

    def usd(self, chain: str, prompt_tokens: int, completion_tokens: int) -> float:
        """See `graph.models.Models.usd`.

        Raises:
            BadSetting: see `check`.
        """
        first = self._member(_names(chain)[0])
        total = prompt_tokens + completion_tokens
        return first.usd(UsageMetadata(input_tokens=prompt_tokens, output_tokens=completion_tokens, total_tokens=total))

    async def _asked(self, member: Member, question: Question, budget: Budget) -> AIMessage:
        """The member's reply, asked again when an error may pass. What a script plays is played once."""

        async def once() -> AIMessage:
            return await _attempt(member, question, budget)

        if member.foretelling:
            return await once()
        within_s = budget.left().seconds
        return await self._endpoints.call(
            member.name,
            once,
            retry=_again,
            counts=_speaks_against,
            within_s=within_s,
            takes_s=within_s if member.timeout_s is None else member.timeout_s,
        )

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


class Failed(Exception):
    """A member was asked and gave no reply; `error` is what its client raised."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))


def _again(error: Exception) -> bool | float:
    return isinstance(error, Failed) and transient(error.error)


def _speaks_against(error: Exception) -> bool | None:
    # Anything else was raised around the question: no room in a budget, or our own database.
    return _again(error) is not False if isinstance(error, Failed) else None


async def _attempt(member: Member, question: Question, budget: Budget) -> AIMessage:
    """Reserve, ask, settle.

    Raises:
        LimitReached: nothing was asked.
        Failed: it was asked, and charged.
    """
    worst = member.worst(question, budget.left())
    reservation = await budget.reserve(worst)
    try:
        message = await member.ask(question, reply_tokens=worst.completion_tokens)
    except Exception as error:
        reservation.settle(member.spent_on(error, worst))
        raise Failed(error) from error
    usage = member.usage(message, worst)
    reservation.settle(member.spent(usage))
    member.count.learn(worst.prompt_tokens, usage["input_tokens"])
    return _identified(message, usage)


def _identified(message: AIMessage, usage: UsageMetadata) -> AIMessage:
    """With usage, and an id no other message has.

    LangChain's own id for a call is kept: clients match streamed tokens with the stored message by it. An
    id that came from the provider may repeat, so it is replaced.
    """
    own = message.id if message.id and message.id.startswith("lc_run-") else uuid4().hex
    return message.model_copy(update={"id": own, "usage_metadata": usage})
