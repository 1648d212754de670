"""Single inputs in, batches to the model, answers back."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from kit import deadline
from kit.calibration import calibrate
from kit.cost import CostModel
from kit.engine import STOPPED, Engine
from kit.errors import DeadlineExceeded, NotReady, Overloaded
from kit.health import CHECK_SECONDS, Health
from kit.metrics import Metrics
from kit.model_thread import ModelThread
from kit.waiting import Request, Waiting

I = TypeVar("I")
O = TypeVar("O")

STUCK_SECONDS = 0.75 * CHECK_SECONDS  # so that a probe that meets a stuck model says so in time
START_SECONDS = 0.05 * CHECK_SECONDS  # in which a probe's own input reaches the model
ROOM = 0.8  # a queue that was full takes work again at so much of its bound: advice has a meaning
DEAD_SECONDS = 60.0  # a batch that is stuck for so long does not come back
CAUTION = 1.05  # who comes back a moment too early is refused again
STUCK_TIMES = 4.0  # a batch is stuck when it takes so many times as long as predicted, at least


class Batcher(Generic[I, O]):
    """Runs a blocking model function over batches of single inputs, in one thread.

    Waits: an input waits only while the model is busy. Bounded: the queue, in milliseconds of
    estimated work. Order: earliest deadline first, joined by inputs of like length; a large request
    lets small ones pass. Never computed: inputs whose caller has left or whose deadline has passed.
    A batch that raises is halved until only the inputs that cause the failure fail. A caller gets
    the answers to its own inputs, in their order, or an error.
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
        clock: Callable[[], float] = time.monotonic,
        thread: Callable[[Callable[[list[I]], Sequence[O]]], ModelThread[I, O]] = ModelThread,
    ) -> None:
        self.cost = CostModel()
        self._tokens = tokens
        self._metrics = metrics
        self._limits = {"max_items": max_items, "max_tokens": max_tokens}
        self._bound = max_queue_ms / 1000
        self._full_until: float | None = None  # so much work, once it was full
        self._clock = clock
        self._waiting: Waiting[I, O] = Waiting(self.cost, **self._limits, bound=self._bound)
        self._engine = Engine(thread(run), self._waiting, self.cost, metrics=metrics, clock=clock)

    @asynccontextmanager
    async def running(
        self, sample: Sequence[I], *, health: Health | None = None, name: str = "model"
    ) -> "AsyncGenerator[Batcher[I, O]]":
        """Calibrate on `sample`, then serve until the block ends; raises what the model raises.

        A sample with a short and a long input teaches what length costs. The short one is also the
        canary: it tells a failing model from an input that makes it fail, and `health` asks it
        under `name`.
        """
        engine = self._engine
        shortest = min(sample, key=self._tokens)
        engine.canary = shortest, max(1, self._tokens(shortest))
        try:
            rows = await calibrate(engine.timed, sample, self._tokens, **self._limits)
            self.cost.calibrate(rows)
            self._metrics.watch_queue(
                self._age_seconds, lambda: engine.left + self._waiting.seconds_foreseen
            )
            if health is not None:
                health.checks[name] = lambda: self.check(shortest)
                health.lifelines[name] = self.lifeline
            yield self
        finally:
            await engine.stop()

    @property
    def backlog_ms(self) -> float:
        """Return the estimated time until everything that waits or runs is done."""
        return (self._engine.left + self._waiting.seconds) * 1000

    @property
    def counted_ms(self) -> float:
        """Return the part of the backlog that counts for the bound: of a large request, a share."""
        engine = self._engine
        return (engine.left * engine.counted + self._waiting.counted_seconds) * 1000

    @property
    def stuck_seconds(self) -> float:
        """Return for how long the model has kept its batch if that is far too long, else 0."""
        took = self._engine.took
        return took if took >= max(STUCK_SECONDS, STUCK_TIMES * self._engine.expected) else 0.0

    def lifeline(self) -> str:
        """Return why only a restart helps, if the model will not come back."""
        stuck = self.stuck_seconds
        return f"The model has not answered for {stuck:.0f} s." if stuck > DEAD_SECONDS else ""

    async def check(self, value: I) -> None:
        """Run one input before all that waits, also when the queue is full: for readiness probes.

        Raises NotReady when the model is stuck or fails. One that is still busy with a batch that
        may take so long counts as sound.
        """
        self._refuse_if_unable()
        request = Request[I, O]([value], self._clock(), due=-math.inf)
        self._waiting.measure(request, [max(1, self._tokens(value))])
        try:
            async with asyncio.timeout(STUCK_SECONDS + START_SECONDS):
                await self._answers(request)
        except TimeoutError:
            self._refuse_if_unable()

    async def submit(self, value: I) -> O:
        """Return the model's answer for one input.

        Raises Overloaded when the queue is full, DeadlineExceeded when the answer would come late,
        NotReady when the model is stuck.
        """
        return (await self.submit_many([value]))[0]

    async def submit_many(self, values: Sequence[I]) -> list[O]:
        """Return the answers in order; all inputs are admitted or none is."""
        if not values:
            return []
        self._refuse_if_unable()
        limit = deadline.current()
        request = Request[I, O](values, self._clock(), limit.at if limit else math.inf)
        tokens = self._tokens
        own = self._waiting.measure(request, [max(1, tokens(value)) for value in values])
        self._refuse_if_full()
        if request.deadline_at < math.inf:
            self._refuse_if_late(request, own)
        return await self._answers(request)

    async def _answers(self, request: Request[I, O]) -> list[O]:
        self._waiting.add(request)
        self._engine.wake()
        try:
            return await request.future
        except asyncio.CancelledError:
            self._engine.drop(request, "abandoned")
            raise

    def _refuse_if_unable(self) -> None:
        if not self._engine.is_open:
            raise NotReady(STOPPED)
        if stuck := self.stuck_seconds:
            raise NotReady(f"The model has not answered for {stuck:.1f} s.")

    def _refuse_if_full(self) -> None:
        """Refuse while the queue is full: from its bound on, until `ROOM` of that work is left.

        The mark is work and not time: when the model's pace changes meanwhile, the advice is off by as
        much and not by many times as much, and who comes back as advised is let in.
        """
        counted, pace = self.counted_ms / 1000, self._waiting.seconds_per_work
        if self._full_until is None:
            if counted <= self._bound:
                return
            self._full_until = ROOM * self._bound / pace
        over = counted - self._full_until * pace
        if over <= 0:
            self._full_until = None
            return
        self._metrics.shed.labels("queue_full").inc()
        wait = self._seconds_until_less(over)
        raise Overloaded("The queue is full.", retry_after_seconds=wait * CAUTION)

    def _seconds_until_less(self, over: float) -> float:
        engine = self._engine
        if over <= engine.left * engine.counted:
            return over / engine.counted
        rest = over - engine.left * engine.counted
        return engine.left + self._waiting.seconds_until_less(rest)

    def _refuse_if_late(self, request: Request[I, O], own: float) -> None:
        """Refuse what would come late: with 429 if it is the queue's fault, else with 504."""
        budget, left = request.deadline_at - self._clock(), self._engine.left
        if left + self._waiting.seconds + own <= budget:
            return
        need = left + self._waiting.seconds_ahead_of(request) + own
        if need <= budget:
            return
        self._metrics.shed.labels("deadline").inc()
        if own <= budget:
            late = f"The queue leaves no time for this: it would take {need * 1000:.0f} ms."
            raise Overloaded(late, retry_after_seconds=(need - budget) * CAUTION)
        self._engine.take_pace()  # else an estimate from a slow spell would refuse for ever
        raise DeadlineExceeded(
            f"This needs about {own * 1000:.0f} ms of the model, more than the budget left.",
            headers={"x-should-retry": "false"},  # OpenAI's SDK would try twice more
        )

    def _age_seconds(self) -> float:
        since = self._waiting.oldest_since
        return 0.0 if since is None else self._clock() - since
