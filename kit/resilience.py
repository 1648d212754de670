"""Live with a service that fails: stop asking it, ask again within a budget, ask twice when it is slow."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

import httpx2
import structlog

from kit.errors import NotReady

FAILURES = 5  # in a row
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
RETRY_RATIO = 0.1
LARGEST_RESERVE = 10.0
SAMPLES = 200
FEWEST_SAMPLES = 40  # below them the 95th percentile is two or three answers
SLOWEST_SHARE = 0.05

log = structlog.get_logger(__name__)


class Breaker:
    """Refuses calls to a service that failed several times in a row, until it answers again.

    While it is open a probe asks the service in growing pauses. When the service answers, one call is
    let through (half open): if that succeeds, all are.
    """

    def __init__(self, name: str, probe: Callable[[], Awaitable[bool]]) -> None:
        self._name = name
        self._probe = probe
        self._failures = 0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._asked_again_at = 0.0
        self._probing: asyncio.Task[None] | None = None
        self._is_open = False
        self._on_trial = False

    @property
    def state(self) -> str:
        """Return `closed`, `open` or `half open`."""
        if not self._is_open:
            return "closed"
        return "open" if self._probing is not None else "half open"

    def enter(self) -> bool:
        """Let a call through and tell whether it is the trial; raises NotReady while open."""
        if not self._is_open:
            return False
        if self._probing is None and not self._on_trial:
            self._on_trial = True
            return True
        left = max(1, math.ceil(self._asked_again_at - time.monotonic()))
        said = f"The service {self._name} does not answer; it is asked again in {left} s."
        raise NotReady(said, headers={"Retry-After": str(left)})

    def heard(self) -> None:
        """Note that an answer begins, whatever it says: the service is there."""
        if self._is_open and self._probing is None:
            log.info("service_is_back", upstream=self._name)
            self._is_open = self._on_trial = False

    def succeeded(self) -> None:
        """Note that an answer came to its end."""
        self._failures = 0
        if not self._is_open:
            self._pause_seconds = FIRST_PAUSE_SECONDS

    def failed(self) -> None:
        """Count a call that got no answer."""
        self._failures += 1
        if self._failures >= FAILURES and self._probing is None:
            log.warning("service_does_not_answer", upstream=self._name)
            self._is_open, self._on_trial = True, False
            self._probing = asyncio.create_task(self._until_it_answers(), name="probe")

    def left(self) -> None:
        """Free the trial's place when its caller went away."""
        self._on_trial = False

    async def close(self) -> None:
        """Stop probing."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _until_it_answers(self) -> None:
        while True:
            self._asked_again_at = time.monotonic() + self._pause_seconds
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
            if await self._probe():
                self._failures = FAILURES - 1  # one failure more opens it again
                self._probing = None
                return


class RetryBudget:
    """Allows one more call for every ten, so that retries cannot multiply an overload."""

    def __init__(self) -> None:
        self._reserve = 1.0

    def called(self) -> None:
        """Count a first call."""
        self._reserve = min(LARGEST_RESERVE, self._reserve + RETRY_RATIO)

    def take(self) -> bool:
        """Spend one more call, if there is one."""
        if self._reserve < 1:
            return False
        self._reserve -= 1
        return True


class Latencies:
    """Remembers how long a service's recent answers took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=SAMPLES)
        self._sorted_at = 0
        self._count = 0
        self._slow = math.inf

    def add(self, seconds: float) -> None:
        """Note one answer."""
        self._seconds.append(seconds)
        self._count += 1

    @property
    def slow_seconds(self) -> float:
        """Return the 95th percentile; infinite while too little is known."""
        if self._count < FEWEST_SAMPLES:
            return math.inf
        if self._count - self._sorted_at >= FEWEST_SAMPLES // 2:
            ordered = sorted(self._seconds)
            self._slow = ordered[int(len(ordered) * (1 - SLOWEST_SHARE))]
            self._sorted_at = self._count
        return self._slow


async def first(tries: set["asyncio.Task[httpx2.Response]"]) -> httpx2.Response:
    """Return the first answer, and remove it from the tries; raise when every one failed."""
    while True:
        done, _ = await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            if one.exception() is None or len(tries) == 1:
                tries.discard(one)
                return one.result()
            tries.discard(one)


async def abandon(tries: set["asyncio.Task[httpx2.Response]"]) -> None:
    """Close the connections of the tries that nobody waits for any more."""
    for one in tries:
        one.cancel()
    for answer in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(answer, httpx2.Response):
            await answer.aclose()
