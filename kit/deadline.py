"""One time budget across all hops."""

import math
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Self

from kit.errors import DeadlineExceeded

HEADER = "X-Request-Timeout-Ms"
BUDGETS = ((b"x-request-timeout-ms", 0.001), (b"x-stainless-read-timeout", 1.0))  # and their units
LONGEST_SECONDS = 24 * 3600.0


@dataclass
class Deadline:
    """A moment on this machine's monotonic clock, in seconds; infinite once an answer has begun."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining_seconds(self) -> float:
        """Return what is left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def check(self) -> None:
        """Raise DeadlineExceeded if nothing is left."""
        if self.remaining_seconds <= 0:
            raise DeadlineExceeded("The request's time budget ran out.")


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current() -> Deadline | None:
    """Return the deadline of the request being served, if there is one."""
    return _current.get()


def outgoing_headers() -> dict[str, str]:
    """Return the header that hands the rest of the budget to the next hop."""
    deadline = current()
    if deadline is None or math.isinf(deadline.at):
        return {}
    # Never 0: that states no budget, and the next hop would take its own, long one.
    return {HEADER: str(max(1, int(deadline.remaining_seconds * 1000)))}


def enter(limit: Deadline) -> Token[Deadline | None]:
    """Make `limit` the current deadline until `leave` is called with what this returns."""
    return _current.set(limit)


def leave(token: Token[Deadline | None]) -> None:
    """Take the deadline back that `enter` made the current one."""
    _current.reset(token)


def budget_seconds(headers: Mapping[bytes, bytes], default_seconds: float) -> float:
    """Read the caller's budget; OpenAI's SDK states its own in `x-stainless-read-timeout`."""
    for name, unit_seconds in BUDGETS:
        if name not in headers:
            continue
        try:
            seconds = float(headers[name]) * unit_seconds
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds > 0:
            return min(seconds, LONGEST_SECONDS)
    return default_seconds
