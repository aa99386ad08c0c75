"""Whether a history has to be folded, and which of it: pure functions of the state, so that routers can ask.

A result goes with the call that asked for it: what stays is a history every provider accepts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig

from graph.context import EXPLICIT
from graph.state import State
from nodes import prompts
from nodes.notices import is_notice
from nodes.room import Room, room_of
from services.cleaning import MAX_CHARS
from services.encodings import cached_encoding, exact_tokens
from services.tokens import PER_MESSAGE, PromptCount, most_of, text_of, told

CUT = "whole_result"
"""Key in the artifact (no provider is sent it) of a result that was cut: the handle of the whole, or None."""

BESIDE_TOKENS = 2_000
"""More than the instructions at the head of a prompt take."""

OPENS = "open_result"
"""The tool that opens results: what it gives is bounded already, and can be had again by the same call."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A reply that called tools, with all its results in the order of the calls."""

    reply: AIMessage
    results: Sequence[ToolMessage]

    @property
    def messages(self) -> list[AnyMessage]:
        """All of it."""
        return [self.reply, *self.results]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What leaves the history."""

    messages: Sequence[AnyMessage]
    """All that goes, in order; of a step that goes in part a reply with the calls that go."""
    parted: AIMessage | None = None
    """The reply of that step with the calls that stay."""

    def __bool__(self) -> bool:
        """Whether anything goes."""
        return bool(self.messages)

    @property
    def ids(self) -> list[str]:
        """Of the messages that go whole."""
        stays = self.parted.id if self.parted else None
        return [message.id or "" for message in self.messages if message.id != stays]


NOTHING = Fold(messages=())


def due(state: State, config: RunnableConfig) -> bool:
    """Whether `compress_history` has work: by the thread's settings, and by those this invocation set itself."""
    room = room_of({**state.get("settings", {}), **config.get("configurable", {}).get(EXPLICIT, {})})
    return bool(oversized(state["messages"], room)) or bool(foldable(state, room))


def oversized(messages: Sequence[AnyMessage], room: Room) -> list[tuple[ToolMessage, int]]:
    """Results that take more tokens than they may, and were not cut yet, each with that number.

    Of the newest step it follows from how many came at once.
    """
    newest = next((group for group in _groups(reversed(messages), _results(messages))), None)
    most = {id(result): room.result_tokens(len(newest.results)) for result in newest.results} if newest else {}
    alone = room.result_tokens(1)  # beside a call that waited for a person a result may be long, and not new any more
    return [
        (message, limit)
        for message in messages
        if isinstance(message, ToolMessage)
        and too_long(message, limit := most.get(id(message), alone))
        and message.name != OPENS
        and not was_cut(message)
    ]


def too_long(result: ToolMessage, most_tokens: int) -> bool:
    """Whether a result is longer than one may be, in tokens or in characters."""
    text = result.content if isinstance(result.content, str) else str(result.text)
    at_most = len(text) * (1 if text.isascii() else 4)  # asked of each result at each step: mostly this tells
    return len(text) > MAX_CHARS * 1.1 or (at_most > most_tokens and most_of(text) > most_tokens)


def was_cut(result: ToolMessage) -> bool:
    """Whether it is the shortened form of a longer one."""
    return isinstance(result.artifact, dict) and CUT in result.artifact


def foldable(state: State, room: Room) -> Fold:
    """What goes: groups before the last `keep` results, and answers of earlier turns.

    By count: as soon as there are such groups. By size: once the prompt takes more than its room; then fewer results
    stay than `keep` where those would fill it alone, and of the newest step as many as fit.
    """
    messages, beyond = state["messages"], excess(state, room)
    full = beyond > 0
    if not full and not room.by_count:
        return NOTHING
    groups = list(_groups(messages, _results(messages)))
    older = _before_the_last(groups, room, full=full)
    newest = _part_of(groups[-1], room) if full and len(older) == len(groups) - 1 else None
    gone = {id(m) for group in older for m in group.messages}
    gone |= {id(answer) for answer in _answers(messages)} if full else set()
    fold = Fold(
        messages=[
            *(one for one in _in_order(messages, groups) if id(one) in gone),
            *(newest.messages if newest else ()),
        ],
        parted=newest.parted if newest else None,
    )
    # A long request, or many tools, may fill the room alone: then no fold makes a prompt that fits, and one that frees
    # little would only be paid for again at the next step. What the model could not read at all is folded anyway.
    little = PromptCount().most(fold.messages) < min(beyond, room.kept_tokens)
    hopeless = little and full and not room.by_count and room.whole + beyond <= room.window
    return NOTHING if hopeless else fold


def excess(state: State, room: Room) -> int:
    """How many tokens the next prompt takes beyond its room; 0 when it fits.

    Counted twice, and the higher counts: what the provider said of the last prompt and what came since, and our own
    count of all of it, by the models' encoding where this machine has it, else by the upper estimate.
    """
    messages = state["messages"]
    told = max(0, _by_provider(messages) - room.whole)
    if BESIDE_TOKENS + room.remembered_tokens + sum(map(_at_most, messages)) <= room.tokens:  # as nearly always
        return told
    prompt = prompts.conversation(state)
    counted = PromptCount().most(prompt)
    if counted > room.tokens and (encoding := cached_encoding()):
        counted = sum(PER_MESSAGE + exact_tokens(encoding, text_of(message)) for message in prompt)
    return max(told, counted - room.tokens)


def _by_provider(messages: Sequence[AnyMessage]) -> int:
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if isinstance(message, AIMessage) and not is_notice(message):
            if not told(message.usage_metadata) or message.usage_metadata is None:
                return 0
            usage = message.usage_metadata
            return usage["input_tokens"] + usage["output_tokens"] + PromptCount().most(messages[at + 1 :])
    return 0


def _at_most(message: BaseMessage) -> int:
    """A bound that costs next to nothing: no message has more tokens than that."""
    content = message.content if isinstance(message.content, str) else repr(message.content)
    most = PER_MESSAGE + len(content) * (1 if content.isascii() else 4)
    if isinstance(message, AIMessage):
        for call in [*message.tool_calls, *message.invalid_tool_calls]:
            args = repr(call["args"])  # JSON escapes a character by up to six
            most += len(call["name"] or "") + len(call["id"] or "") + len(args) * (2 if args.isascii() else 12)
    return most


def _results(messages: Sequence[AnyMessage]) -> Mapping[str, ToolMessage]:
    return {message.tool_call_id: message for message in messages if isinstance(message, ToolMessage)}


def _groups(messages: Any, results: Mapping[str, ToolMessage]) -> Iterator[Group]:
    """Those that are complete, in the order of `messages`."""
    for message in messages:
        if isinstance(message, AIMessage) and message.tool_calls:
            ids = [call["id"] or "" for call in message.tool_calls]
            if all(one in results for one in ids):
                yield Group(reply=message, results=[results[one] for one in ids])


def _before_the_last(groups: Sequence[Group], room: Room, *, full: bool) -> list[Group]:
    """The groups before those that hold one of the last `keep` results and, when it is full, fit; never the newest."""
    count, spent = 0, 0
    for at in range(len(groups) - 1, -1, -1):
        spent += PromptCount().most(groups[at].messages) if full else 0
        if count and (count >= room.keep or spent > room.kept_tokens):
            return list(groups[: at + 1])
        count += len(groups[at].results)
    return []


def _part_of(group: Group, room: Room) -> Fold | None:
    """What of a step goes that is too much alone: all but its last results, as many as fit, at least one."""
    calls = group.reply.tool_calls
    stay, spent = 0, PromptCount().most([AIMessage(group.reply.text)])
    for call, result in zip(reversed(calls), reversed(group.results), strict=True):
        spent += PromptCount().most([AIMessage("", tool_calls=[call]), result])
        if stay and spent > room.kept_tokens:
            break
        stay += 1
    go = len(calls) - stay
    if not go:
        return None
    # Of its content the text alone: providers' own parts in it stand for calls, too.
    plain = {"content": str(group.reply.text), "additional_kwargs": {}, "invalid_tool_calls": []}
    parted = group.reply.model_copy(update={**plain, "tool_calls": calls[go:]})
    goes = group.reply.model_copy(update={**plain, "content": "", "tool_calls": calls[:go]})
    return Fold(messages=[goes, *group.results[:go]], parted=parted)


def _answers(messages: Sequence[AnyMessage]) -> list[AIMessage]:
    """Texts without calls from before the last turn but one."""
    asked = [at for at, message in enumerate(messages) if isinstance(message, HumanMessage)]
    before = messages[: asked[-1]] if asked else []
    plain = [one for one in before if isinstance(one, AIMessage) and not one.tool_calls and not is_notice(one)]
    return plain[:-1]


def _in_order(messages: Sequence[AnyMessage], groups: Sequence[Group]) -> Iterator[AnyMessage]:
    """All of them, each result behind the reply that asked for it."""
    of_group = {id(result) for group in groups for result in group.results}
    behind = {id(group.reply): group.results for group in groups}
    for message in messages:
        if id(message) not in of_group:
            yield message
            yield from behind.get(id(message), ())
