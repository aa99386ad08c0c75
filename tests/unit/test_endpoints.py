from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from graph.errors import BadSetting
from services.breakers import Breakers
from services.endpoints import Endpoints, open_endpoints
from services.rates import RateLimit, Rates, parse_rates
from services.refusals import EndpointFailing, RateLimited
from services.settings import load


class Down(Exception):
    """The endpoint does not answer."""


class Refusal(Exception):
    """The caller's own fault."""


def again(error: Exception) -> bool | float:
    return isinstance(error, Down)


class Waits:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def endpoints(waits: Waits, *, failures: int = 5, seconds: float = 30.0, rate: RateLimit | None = None) -> Endpoints:
    rates = Rates({"x": rate} if rate else {}, sleep=waits.sleep, monotonic=lambda: waits.now)
    return Endpoints(breakers=Breakers(failures=failures, seconds=seconds), rates=rates, sleep=waits.sleep)


class Endpoint:
    """Answers what it is told to, one call after another; the last for ever."""

    def __init__(self, *answers: Exception | str) -> None:
        self.answers, self.calls = answers, 0

    async def __call__(self) -> str:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


async def fail(asked: Endpoints, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Down):
            await asked.call("x", Endpoint(Down()), retry=again, attempts=1, within_s=5)


async def half_open(asked: Endpoints) -> None:
    """Until the breaker may be probed: purgatory reads the machine's clock."""
    async with asyncio.timeout(20):
        while True:
            with suppress(EndpointFailing):
                return await asked._breakers.check("x")
            await asyncio.sleep(0.005)


async def test_a_passing_failure_is_retried_after_a_pause() -> None:
    waits, endpoint = Waits(), Endpoint(Down(), Down(), "yes")
    assert await endpoints(waits).call("x", endpoint, retry=again, within_s=60) == "yes"
    assert endpoint.calls == 3
    assert len(waits.slept) == 2


async def test_attempts_end_with_the_last_error() -> None:
    errors = [Down("1"), Down("2"), Down("3")]
    endpoint = Endpoint(*errors)
    with pytest.raises(Down, match="3"):
        await endpoints(Waits()).call("x", endpoint, retry=again, within_s=600, attempts=3)
    assert endpoint.calls == 3


async def test_what_may_not_be_retried_is_raised_at_once() -> None:
    waits, endpoint = Waits(), Endpoint(Refusal())
    with pytest.raises(Refusal):
        await endpoints(waits).call("x", endpoint, retry=again, within_s=60)
    assert (endpoint.calls, waits.slept) == (1, [])


async def test_pauses_are_jittered_and_bounded() -> None:
    firsts, all_pauses = set(), []
    for _ in range(40):
        waits = Waits()
        with pytest.raises(Down):
            await endpoints(waits, failures=100).call("x", Endpoint(Down()), retry=again, within_s=1e6, attempts=12)
        firsts.add(waits.slept[0])
        all_pauses += waits.slept
    assert len(firsts) > 20
    assert min(all_pauses) >= 0.2
    assert max(all_pauses) <= 20
    assert max(all_pauses) > 5


async def test_a_retry_after_is_honoured() -> None:
    waits = Waits()
    assert await endpoints(waits).call("x", Endpoint(Down(), "yes"), retry=lambda _: 7.0, within_s=60) == "yes"
    assert 7.0 <= waits.slept[0] <= 7.7


@pytest.mark.parametrize("told", [61.0, float("nan"), -1.0, 59.0])
async def test_a_pause_longer_than_there_is_time_for_is_not_begun(told: float) -> None:
    waits, endpoint = Waits(), Endpoint(Down())
    with pytest.raises(Down):
        await endpoints(waits).call("x", endpoint, retry=lambda _: told, within_s=30)
    assert (endpoint.calls, waits.slept) == (1, [])


async def test_failures_in_a_row_open_the_breaker() -> None:
    asked, endpoint = endpoints(Waits()), Endpoint("yes")
    await fail(asked, 4)
    await asked.call("x", endpoint, retry=again, within_s=5)
    await fail(asked, 5)
    with pytest.raises(EndpointFailing, match=r"^x is failing: not asked again before \d\d:\d\d:\d\d UTC$") as caught:
        await asked.call("x", endpoint, retry=again, within_s=5)
    assert caught.value.until is not None
    assert 25 < caught.value.until.timestamp() - time.time() <= 30
    assert endpoint.calls == 1
    assert await asked.call("y", endpoint, retry=again, within_s=5) == "yes"


async def test_the_callers_own_faults_do_not_count() -> None:
    asked = endpoints(Waits(), failures=2)
    for _ in range(5):
        with pytest.raises(Refusal):
            await asked.call("x", Endpoint(Refusal()), retry=again, within_s=5)
    assert await asked.call("x", Endpoint("yes"), retry=again, within_s=5) == "yes"


async def test_the_caller_says_what_counts() -> None:
    asked = endpoints(Waits(), failures=1)
    with pytest.raises(Refusal):
        await asked.call("x", Endpoint(Refusal()), retry=again, within_s=5, counts=lambda _: True)
    with pytest.raises(EndpointFailing):
        await asked.call("x", Endpoint("yes"), retry=again, within_s=5)


async def test_refused_after_an_attempt_the_attempts_error_is_told() -> None:
    endpoint = Endpoint(Down("it may have happened"))
    with pytest.raises(Down, match="it may have happened"):
        await endpoints(Waits(), failures=2).call("x", endpoint, retry=again, within_s=60, attempts=5)
    assert endpoint.calls == 2


@pytest.mark.parametrize("outcome", ["yes", "down"])
async def test_one_of_twenty_probes_and_decides(outcome: str) -> None:
    asked = endpoints(Waits(), failures=1, seconds=0.1)
    await fail(asked, 1)
    await half_open(asked)
    begun, go = 0, asyncio.Event()

    async def once() -> str:
        nonlocal begun
        begun += 1
        await go.wait()
        if outcome == "down":
            raise Down
        return outcome

    calls = [asyncio.create_task(asked.call("x", once, retry=again, within_s=5, attempts=1)) for _ in range(20)]
    refused = asyncio.as_completed(calls, timeout=20)
    for _ in range(19):
        with pytest.raises(EndpointFailing):
            await next(refused)
    assert begun == 1
    go.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(end, EndpointFailing) and end.until is None for end in ended) == 19
    if outcome == "yes":
        assert await asked.call("x", Endpoint("yes"), retry=again, within_s=5) == "yes"
    else:
        with pytest.raises(EndpointFailing, match="not asked again before"):
            await asked.call("x", Endpoint("yes"), retry=again, within_s=5)


async def test_a_cancelled_probe_leaves_room_for_the_next() -> None:
    asked = endpoints(Waits(), failures=1, seconds=0.05)
    await fail(asked, 1)
    await half_open(asked)
    begun = asyncio.Event()

    async def hang() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    probe = asyncio.create_task(asked.call("x", hang, retry=again, within_s=5))
    await begun.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert await asked.call("x", Endpoint("yes"), retry=again, within_s=5) == "yes"


async def test_a_probe_that_asked_nothing_leaves_room_for_the_next_and_closes_nothing() -> None:
    asked = endpoints(Waits(), failures=3, seconds=0.05)
    await fail(asked, 3)
    await half_open(asked)
    with pytest.raises(Refusal):
        await asked.call("x", Endpoint(Refusal()), retry=again, within_s=5, counts=lambda _: None)
    await fail(asked, 1)  # a closed breaker would take three
    with pytest.raises(EndpointFailing, match="not asked again before"):
        await asked.call("x", Endpoint("yes"), retry=again, within_s=5)


async def test_a_call_that_asked_nothing_breaks_no_row_of_failures() -> None:
    asked = endpoints(Waits(), failures=2)
    await fail(asked, 1)
    with pytest.raises(Refusal):
        await asked.call("x", Endpoint(Refusal()), retry=again, within_s=5, counts=lambda _: None)
    await fail(asked, 1)
    with pytest.raises(EndpointFailing):
        await asked.call("x", Endpoint("yes"), retry=again, within_s=5)


async def test_cancelled_calls_do_not_count() -> None:
    asked = endpoints(Waits(), failures=1)
    task = asyncio.create_task(asked.call("x", asyncio.Event().wait, retry=again, within_s=5))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asked.call("x", Endpoint("yes"), retry=again, within_s=5) == "yes"


async def test_fifty_at_once_keep_to_the_rate() -> None:
    waits = Waits()
    asked = endpoints(waits, rate=RateLimit(calls=10, seconds=1))
    when: list[float] = []

    async def once() -> None:
        when.append(waits.now)

    await asyncio.gather(*(asked.call("x", once, retry=again, within_s=1e6) for _ in range(50)))
    assert len(when) == 50
    for start in when:
        assert sum(start <= one < start + 1 for one in when) <= 20
    for index, one in enumerate(sorted(when)):
        assert index + 1 <= 10 + 10 * one + 1e-6


async def test_without_a_slot_in_time_nothing_is_started() -> None:
    waits, endpoint = Waits(), Endpoint("yes")
    asked = endpoints(waits, rate=RateLimit(calls=1, seconds=60))
    await asked.call("x", endpoint, retry=again, within_s=1)
    with pytest.raises(RateLimited, match=r"^rate limit of x: no slot within 2 s$"):
        await asked.call("x", endpoint, retry=again, within_s=2)
    assert (endpoint.calls, waits.slept) == (1, [])


async def test_an_open_breaker_spends_no_token() -> None:
    asked = endpoints(Waits(), failures=1, rate=RateLimit(calls=1, seconds=60))
    await fail(asked, 1)
    with pytest.raises(EndpointFailing):
        await asked.call("x", Endpoint("yes"), retry=again, within_s=1)


async def test_settings_and_declared_rates_meet() -> None:
    settings = load(rates={"x": RateLimit(calls=1, seconds=60)}, redis_url=None)
    declared = {"x": RateLimit(calls=9, seconds=1), "tool:y": RateLimit(calls=1, seconds=60)}
    async with open_endpoints(settings, rates=declared) as asked:
        for name in ("x", "tool:y"):
            await asked.call(name, Endpoint("yes"), retry=again, within_s=0)
            with pytest.raises(RateLimited):
                await asked.call(name, Endpoint("yes"), retry=again, within_s=0)


def test_rates_are_read() -> None:
    assert parse_rates("openai:gpt-4.1=500/60, tool:send_email=10/0.5,") == {
        "openai:gpt-4.1": RateLimit(calls=500, seconds=60),
        "tool:send_email": RateLimit(calls=10, seconds=0.5),
    }


@pytest.mark.parametrize("text", ["x", "x=1", "x=0/1", "x=-1/1", "x=1/nan", "x=1/0", "=1/1", "x=1.5/1", "x=1/1e9"])
def test_a_rate_that_does_not_hold_is_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BALLAST_RATES", text)
    with pytest.raises(BadSetting, match=r"^BALLAST_RATES must be NAME=calls/seconds,\.\.\. with") as caught:
        load()
    assert "\n" not in str(caught.value)
