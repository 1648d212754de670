"""Single inputs in, batches to the model, answers back."""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kit import deadline
from kit.errors import DeadlineExceeded, NotReady, Overloaded
from kit.health import CHECK_SECONDS
from kit.metrics import Metrics

I = TypeVar("I")
O = TypeVar("O")

SMOOTHING = 0.2  # weight of the newest batch in the cost estimate
STRAY = 2.0  # a batch counts as at most so many times the estimate: one that stalled is no rule
STOPPED = "The model is being stopped."


@dataclass(order=True)
class _Item(Generic[I, O]):
    deadline_at: float
    order: int
    value: I = field(compare=False)
    tokens: int = field(compare=False)
    answer: asyncio.Future[O] = field(compare=False)
    since: float = field(compare=False, default_factory=time.monotonic)


class Batcher(Generic[I, O]):
    """Runs a blocking model function over batches of single inputs, in one thread.

    Waits: an item waits only while the model is busy. Bounded: the queue, in milliseconds of
    estimated work. Order: earliest deadline first, then first come. Never computed: items whose
    caller has left or whose deadline has passed. A batch that raises is halved until only the
    inputs that cause the failure fail.
    """

    def __init__(
        self,
        run: Callable[[list[I]], Sequence[O]],
        *,
        metrics: Metrics,
        tokens: Callable[[I], int] = lambda _: 1,
        max_items: int = 32,
        max_tokens: int = 4096,
        max_queue_ms: float = 2000.0,
    ) -> None:
        self._run = run
        self._tokens = tokens
        self._metrics = metrics
        self._limits = (max_items, max_tokens, max_queue_ms)
        self._waiting: list[_Item[I, O]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._ms_per_token = 0.0
        self._running_until = 0.0
        self._is_open = True

    @asynccontextmanager
    async def running(self, sample: Sequence[I]) -> "AsyncGenerator[Batcher[I, O]]":
        """Calibrate on `sample`, then serve until the block ends; raises what the model raises."""
        for _ in range(2):
            self._ms_per_token = 0.0  # the first pass also pays for the model's lazy allocations
            items = [self._item(value) for value in sample]
            await self._compute(items)
            await asyncio.gather(*(item.answer for item in items))
        loop = asyncio.create_task(self._serve(), name="batcher")
        try:
            yield self
        finally:
            self._is_open = False
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
            _stop(self._waiting)
            await asyncio.to_thread(self._thread.shutdown)

    @property
    def backlog_ms(self) -> float:
        """Return the estimated time until everything that waits or runs is done."""
        running = max(0.0, self._running_until - time.monotonic()) * 1000
        wanted = sum(item.tokens for item in self._waiting if not item.answer.done())
        return running + wanted * self._ms_per_token

    async def check(self, value: I) -> None:
        """Run one input before all that waits, also when the queue is full: for readiness probes.

        A full queue means come back later (429), a silent model means go elsewhere (503).
        """
        item = self._item(value)
        item.deadline_at = min(item.deadline_at, time.monotonic() + CHECK_SECONDS)
        await self._answers([item])

    async def submit(self, value: I) -> O:
        """Return the model's answer for one input.

        Raises Overloaded when the queue is full, DeadlineExceeded when the answer would come late.
        """
        return (await self.submit_many([value]))[0]

    async def submit_many(self, values: Sequence[I]) -> list[O]:
        """Return the answers in order; all inputs are admitted or none is."""
        items = [self._item(value) for value in values]
        self._admit(items)
        return await self._answers(items)

    async def _answers(self, items: Sequence[_Item[I, O]]) -> list[O]:
        if not self._is_open:
            raise NotReady(STOPPED)
        # Neighbours in the queue meet in a batch: of one length, they need no padding.
        for item in sorted(items, key=lambda item: item.tokens):
            item.order = next(self._order)
            heapq.heappush(self._waiting, item)
        self._wake.set()
        try:
            return list(await asyncio.gather(*(item.answer for item in items)))
        finally:
            for item in items:
                item.answer.cancel()

    def _item(self, value: I) -> _Item[I, O]:
        limit = deadline.current()
        at = limit.at if limit else math.inf
        answer: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        return _Item(at, 0, value, max(1, self._tokens(value)), answer)

    def _admit(self, items: Sequence[_Item[I, O]]) -> None:
        wait_ms = self.backlog_ms
        if wait_ms > self._limits[2]:
            self._metrics.shed.labels("queue_full").inc()
            over_seconds = (wait_ms - self._limits[2]) / 1000
            raise Overloaded("The queue is full.", retry_after_seconds=over_seconds)
        need_ms = wait_ms + sum(item.tokens for item in items) * self._ms_per_token
        limit = deadline.current()
        if limit and need_ms / 1000 > limit.remaining_seconds:
            self._metrics.shed.labels("deadline").inc()
            if not wait_ms:  # else an estimate from a slow spell would refuse for ever
                self._ms_per_token *= 1 - SMOOTHING
            raise DeadlineExceeded(f"This needs about {need_ms:.0f} ms, more than the budget left.")

    async def _serve(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._next_batch()
            if batch:
                try:
                    await self._compute(batch)
                finally:
                    _stop(batch)  # those whose computation was cut short
            elif not self._waiting:
                self._wake.clear()

    def _next_batch(self) -> list[_Item[I, O]]:
        """Take waiting items, most urgent first, while their padded size stays within the limits."""
        max_items, max_tokens, _ = self._limits
        batch: list[_Item[I, O]] = []
        longest = 0
        while self._waiting and len(batch) < max_items:
            item = self._waiting[0]
            longest = max(longest, item.tokens)
            if batch and longest * (len(batch) + 1) > max_tokens:
                break
            heapq.heappop(self._waiting)
            if _is_wanted(item):
                batch.append(item)
        oldest = min((item.since for item in self._waiting), default=time.monotonic())
        self._metrics.queue_age.set(time.monotonic() - oldest)
        return batch

    async def _compute(self, batch: list[_Item[I, O]]) -> None:
        padded = max(item.tokens for item in batch) * len(batch)
        started = time.monotonic()
        self._running_until = started + padded * self._ms_per_token / 1000
        try:
            values = [item.value for item in batch]
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(self._thread, self._run, values)
            pairs = list(zip(batch, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - this batch fails, the next must not
            await self._bisect(batch, error)
            return
        seconds = time.monotonic() - started
        self._running_until = 0.0
        self._observe(batch, padded, seconds)
        for item, answer in pairs:
            if not item.answer.done():
                item.answer.set_result(answer)

    async def _bisect(self, batch: list[_Item[I, O]], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if wanted := [item for item in half if _is_wanted(item)]:
                await self._compute(wanted)

    def _observe(self, batch: list[_Item[I, O]], padded: int, seconds: float) -> None:
        used = sum(item.tokens for item in batch)
        self._metrics.batch_items.observe(len(batch))
        self._metrics.batch_tokens.observe(padded)
        self._metrics.padding.observe(1 - used / padded)
        self._metrics.inference.observe(seconds)
        gone = sum(item.tokens for item in batch if item.answer.done())
        self._metrics.wasted.inc(seconds * gone / used)
        known = self._ms_per_token
        cost = min(seconds * 1000 / padded, known * STRAY or math.inf)
        self._ms_per_token = cost if not known else known + SMOOTHING * (cost - known)


def _stop(items: Iterable[_Item[I, O]]) -> None:
    """Tell those who still wait that no answer will come."""
    for item in items:
        if not item.answer.done():
            item.answer.set_exception(NotReady(STOPPED))


def _is_wanted(item: _Item[I, O]) -> bool:
    """Tell whether anyone still waits for it in time; a late one learns that here."""
    if item.answer.done():
        return False
    if time.monotonic() >= item.deadline_at:
        item.answer.set_exception(DeadlineExceeded("The time budget ran out while waiting."))
        return False
    return True
