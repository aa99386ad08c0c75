"""Prompts are estimated upwards, and a reply is only as long as the limits pay for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool

from graph.budget import Left
from graph.models import Question
from services.members import LEAST_REPLY, Member
from services.offline import OfflineModel
from services.prices import Price
from services.tokens import ABOVE, HIGHEST_FACTOR, PER_MESSAGE, PromptCount, of_tools

COUNTED = {
    "english": (
        20,
        "Every order above five hundred dollars needs a second signature; nobody may approve an order of their own.",
    ),
    "json": (
        35,
        '{"id":"ORD-000017","item":"Desk lamp","quantity":2,"unit_price":38.25,"paid":true,"tags":["office","light"]}',
    ),
    "indented json": (
        37,
        '{\n  "id": "ORD-000017",\n  "item": "Desk lamp",\n  "quantity": 2,\n  "unit_price": 38.25\n}',
    ),
    "code": (
        33,
        (
            'def left(self) -> int:\n    """What nobody has reserved yet."""\n'
            "    return self.limit - sum(one.tokens for one in self._in_flight.values())\n"
        ),
    ),
    "digits": (17, "314159265358979323846264338327950288419716939937510"),
    "figures": (43, "104,38.25,1200.00,0.07\n105,411.90,88.15,13.37\n106,2.49,76.50,999.99\n"),
    "german": (18, "Jede Bestellung über fünfhundert Dollar braucht eine zweite Unterschrift."),
    "chinese": (36, "每笔超过五百美元的订单都需要第二个签名,任何人都不得批准自己的订单。"),
    "japanese": (25, "五百ドルを超える注文には二人目の署名が必要です。"),
    "korean": (27, "오백 달러를 초과하는 모든 주문에는 두 번째 서명이 필요합니다."),
    "hindi": (68, "पांच सौ डॉलर से अधिक के हर ऑर्डर को दूसरे हस्ताक्षर की आवश्यकता है।"),
    "thai": (48, "ทุกคำสั่งซื้อที่เกินห้าร้อยดอลลาร์ต้องมีลายเซ็นที่สอง"),
    "emoji": (21, "😀👍🎉🚀🔥🙏💯✨"),
    "hex": (43, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    "uuid": (43, "550e8400-e29b-41d4-a716-446655440000 6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    "letters": (26, "qzxjkvbwmtrgplfhdsncyuoaeiqzxjkvbwmtrgplfhdsnc"),
    "georgian": (75, "ყოველ შეკვეთას მეორე ხელმოწერა სჭირდება."),
    "amharic": (75, "እያንዳንዱ ትእዛዝ ሁለተኛ ፊርማ ያስፈልገዋል።"),
}
"""Tokens of each text, the larger count of cl100k_base and o200k_base (npm `gpt-tokenizer` 4.0.0)."""

COUNT = PromptCount()


@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize("kind", COUNTED)
def test_a_text_never_takes_more_tokens_than_estimated(kind: str, times: int) -> None:
    counted, text = COUNTED[kind]

    assert times * counted <= COUNT.most([HumanMessage(text * times)]) - PER_MESSAGE


@pytest.mark.parametrize("kind", ["english", "json", "code", "chinese"])
def test_an_estimate_is_not_far_above_either(kind: str) -> None:
    """Twice what is used would halve what a limit lets through."""
    counted, text = COUNTED[kind]

    assert COUNT.most([HumanMessage(text * 20)]) <= 2.2 * 20 * counted


@given(st.text(), st.text())
def test_more_text_never_counts_less(text: str, more: str) -> None:
    shorter, longer = COUNT.most([HumanMessage(text)]), COUNT.most([HumanMessage(text + more)])

    assert PER_MESSAGE <= shorter <= longer


def test_everything_that_is_sent_counts() -> None:
    args = {"path": "a/rather/long/path/to/a/file.txt" * 10}
    calling = AIMessage("", tool_calls=[{"name": "read_file", "args": args, "id": "call_1"}])
    broken = AIMessage(
        "", invalid_tool_calls=[{"name": "read_file", "args": json.dumps(args), "id": "call_1", "error": "cut"}]
    )
    blocks = HumanMessage([{"type": "text", "text": "x" * 300}])

    assert COUNT.most([calling]) > len(args["path"]) / 4
    assert COUNT.most([broken]) > len(args["path"]) / 4
    assert COUNT.most([blocks]) > 300 / 4
    assert COUNT.most([ToolMessage("", tool_call_id="call_1")]) == PER_MESSAGE
    assert COUNT.most([], tool_tokens=41.2) == 42


def test_tools_count_by_their_schema() -> None:
    async def look(path: str) -> str:
        return path

    short, long = [
        StructuredTool.from_function(coroutine=look, name="look", description=told) for told in ("Look.", "Look. " * 50)
    ]

    assert of_tools([]) == 0
    assert of_tools([long]) > of_tools([short]) + 50
    assert of_tools([short, long]) == pytest.approx(of_tools([short]) + of_tools([long]))


def test_an_estimate_that_was_too_low_is_not_again() -> None:
    count = PromptCount()
    message = HumanMessage("word " * 1_000)
    estimated = count.most([message])

    count.learn(estimated, 3 * estimated)

    assert count.factor == pytest.approx(3 * ABOVE)
    assert count.most([message]) >= 3 * estimated


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_factor_rises_and_never_falls(counts: list[tuple[int, int]]) -> None:
    count, before = PromptCount(), 1.0
    for estimated, counted in counts:
        count.learn(estimated, counted)
        rises = counted > estimated > 0 and before < HIGHEST_FACTOR
        assert before < count.factor <= HIGHEST_FACTOR if rises else count.factor == before
        before = count.factor


PRICE = Price(input_per_mtok=1, output_per_mtok=10)
QUESTION = Question(messages=[HumanMessage("e" * 300)], max_reply_tokens=4_000)
PROMPT = COUNT.most(QUESTION.messages)
PLENTY = Left(tokens=1_000_000, usd=1_000, seconds=1)


def _member(price: Price = PRICE) -> Member:
    return Member(
        name="m", model=OfflineModel(), usd=lambda usage: price.usd(usage["input_tokens"], usage["output_tokens"])
    )


def test_the_worst_case_is_the_prompt_and_the_longest_reply_that_is_allowed() -> None:
    worst = _member().worst(QUESTION, PLENTY)

    assert (worst.calls, worst.prompt_tokens, worst.completion_tokens) == (1, PROMPT, 4_000)
    assert worst.cost_usd == pytest.approx(PRICE.usd(PROMPT, 4_000))


@pytest.mark.parametrize(
    ("tokens", "reply"),
    [(PROMPT + 4_000, 4_000), (PROMPT + 3_999, 3_999), (PROMPT + LEAST_REPLY, LEAST_REPLY)],
)
def test_a_reply_is_asked_for_as_long_as_the_tokens_last(tokens: int, reply: int) -> None:
    worst = _member().worst(QUESTION, Left(tokens=tokens, usd=1_000, seconds=1))

    assert worst.completion_tokens == reply
    assert worst.tokens <= tokens


@pytest.mark.parametrize("tokens", [PROMPT + LEAST_REPLY - 1, PROMPT, 0, -500])
def test_a_reply_that_is_not_worth_its_prompt_does_not_fit_the_tokens(tokens: int) -> None:
    worst = _member().worst(QUESTION, Left(tokens=tokens, usd=1_000, seconds=1))

    assert worst.completion_tokens == LEAST_REPLY
    assert worst.tokens > tokens


@given(st.floats(PRICE.usd(PROMPT, LEAST_REPLY + 1), 0.1))
def test_a_reply_is_asked_for_as_long_as_the_money_lasts(usd: float) -> None:
    worst = _member().worst(QUESTION, Left(tokens=1_000_000, usd=usd, seconds=1))

    assert worst.cost_usd <= usd + 1e-9
    assert worst.completion_tokens == 4_000 or worst.cost_usd > usd - PRICE.usd(0, 2)


@given(st.floats(-1, PRICE.usd(PROMPT, LEAST_REPLY - 1)))
def test_a_reply_that_is_not_worth_its_prompt_does_not_fit_the_money(usd: float) -> None:
    worst = _member().worst(QUESTION, Left(tokens=1_000_000, usd=usd, seconds=1))

    assert worst.completion_tokens == LEAST_REPLY
    assert worst.cost_usd > usd


def test_shorter_replies_than_the_least_are_asked_for_by_whoever_wants_them() -> None:
    short = Question(messages=QUESTION.messages, max_reply_tokens=20)

    assert _member().worst(short, PLENTY).completion_tokens == 20
    assert _member().worst(short, Left(tokens=PROMPT + 19, usd=1, seconds=1)).completion_tokens == 20


def test_a_free_model_is_bounded_by_tokens_alone() -> None:
    worst = _member(Price()).worst(QUESTION, Left(tokens=PROMPT + 500, usd=0, seconds=1))

    assert (worst.completion_tokens, worst.cost_usd) == (500, 0)


def test_a_price_on_the_prompt_alone_can_not_be_met_by_a_shorter_reply() -> None:
    worst = _member(Price(input_per_mtok=10)).worst(QUESTION, Left(tokens=1_000_000, usd=0.0001, seconds=1))

    assert worst.cost_usd > 0.0001
