"""Calls an endpoint was never asked for: nothing was sent, nothing has to be paid, trying later is safe."""

from __future__ import annotations

from datetime import datetime

from graph.errors import BallastError


class NeverStarted(BallastError):
    """The call to endpoint `name` was not made."""

    def __init__(self, name: str, told: str) -> None:
        self.name = name
        super().__init__(told)


class RateLimited(NeverStarted):
    """The endpoint's own rate limit has no slot within `within_s` seconds."""

    def __init__(self, name: str, within_s: float) -> None:
        self.within_s = within_s
        super().__init__(name, f"rate limit of {name}: no slot within {within_s:.3g} s")


class EndpointFailing(NeverStarted):
    """The endpoint's breaker is open; until `until`, or, when None, until the call that probes it has ended."""

    def __init__(self, name: str, until: datetime | None) -> None:
        self.until = until
        told = f"not asked again before {until:%H:%M:%S} UTC" if until else "another call is trying it now"
        super().__init__(name, f"{name} is failing: {told}")
