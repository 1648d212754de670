"""Keeps a model busy: takes what waits, batch by batch, and gives the answers to the callers."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from kit.cost import CostModel
from kit.errors import DeadlineExceeded, NotReady
from kit.metrics import Metrics
from kit.model_thread import Done, ModelThread
from kit.waiting import Item, Request, Waiting

I = TypeVar("I")
O = TypeVar("O")

STOP_SECONDS = 5.0
STOPPED = "The model is being stopped."
EXPIRED = "The time budget ran out while waiting."


class Engine(Generic[I, O]):
    """Runs one batch at a time, the next one as soon as the model is free.

    Learns what batches cost. Never runs what nobody waits for. When a batch raises, `canary` tells
    whether the model is to blame: then all fail with NotReady, else halves find the inputs that are.
    """

    def __init__(
        self,
        thread: ModelThread[I, O],
        waiting: Waiting[I, O],
        cost: CostModel,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._thread = thread
        self._waiting = waiting
        self._cost = cost
        self._metrics = metrics
        self._clock = clock
        self._batch: Sequence[Item[I, O]] = ()
        self._is_busy = self._is_woken = False
        self._started = 0.0
        self._aside: asyncio.Task[None] | None = None  # what else the model is used for
        self.canary: tuple[I, int]  # and its tokens; set before anything is run
        self.expected = 0.0  # seconds, predicted for what the model has
        self.counted = 1.0  # the share of it that counts for the queue's bound
        self.is_open = True

    @property
    def took(self) -> float:
        """Return for how long the model has had what it has; 0 when it is free."""
        return self._clock() - self._started if self._is_busy else 0.0

    @property
    def left(self) -> float:
        """Estimate how long the model will keep what it has."""
        return max(0.0, self.expected - self.took) if self._is_busy else 0.0

    def wake(self) -> None:
        """Say that something waits; those who come in the same turn of the loop share a batch."""
        if not self._is_busy and not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def take_pace(self) -> None:
        """Run the canary if the model is free, to learn how fast it is now."""
        if not self._is_busy:
            self._is_busy, self._started = True, self._clock()
            self._aside = asyncio.get_running_loop().create_task(self._take_pace())

    async def _take_pace(self) -> None:
        with contextlib.suppress(Exception):  # whoever asks for readiness will meet it
            await self._run_canary()
        self._be_free()

    async def _run_canary(self) -> None:
        value, tokens = self.canary
        await self._call([value], tokens)
        self._cost.observe(1, tokens, self._clock() - self._started)

    def _be_free(self) -> None:
        self._is_busy, self._batch = False, ()
        self._go_on()

    async def timed(self, values: list[I]) -> float:
        """Run values that nobody waits for, and return the seconds until their answers are here."""
        started = self._clock()
        await self._call(values, 0)
        self._is_busy = False
        return self._clock() - started

    def drop(self, request: Request[I, O], reason: str) -> None:
        """Forget what of a request still waits."""
        if dropped := self._waiting.drop(request):
            self._metrics.dropped.labels(reason).inc(dropped)

    async def stop(self) -> None:
        """Tell all callers that no answer will come, and end the thread."""
        self.is_open = False
        if self._aside is not None:
            self._aside.cancel()
        for request in [*self._waiting.drain(), *(item.request for item in self._batch)]:
            self._fail(request, NotReady(STOPPED))
        await self._thread.stop(STOP_SECONDS)

    def _go_on(self) -> None:
        self._is_woken = False
        if self._is_busy or not self.is_open:
            return
        while batch := self._waiting.take(self._clock()):
            if wanted := self._wanted(batch):
                self._batch, self.counted = wanted, self._waiting.counted_part(wanted)
                self._run(
                    _values(wanted),
                    _padded(wanted),
                    lambda answers, took: self._finished(wanted, answers, took),
                )
                return

    def _run(self, values: list[I], padded: int, done: Done[O]) -> None:
        self._is_busy, self._started = True, self._clock()
        self.expected = self._cost.seconds(len(values), padded)
        self._thread.put(values, done)

    async def _call(self, values: list[I], padded: int) -> tuple[Sequence[O], float]:
        """Return the model's answers and the seconds it took, or raise what it raises."""
        returned: asyncio.Future[tuple[Sequence[O] | Exception, float]]
        returned = asyncio.get_running_loop().create_future()

        def done(answers: Sequence[O] | Exception, took: float) -> None:
            if not returned.done():
                returned.set_result((answers, took))

        self._run(values, padded, done)
        answers, took = await returned
        return _checked(answers, values), took

    def _finished(
        self, batch: Sequence[Item[I, O]], answers: Sequence[O] | Exception, took: float
    ) -> None:
        try:
            found = _checked(answers, batch)
        except Exception as error:  # noqa: BLE001 - this batch fails, the next must not
            self._aside = asyncio.get_running_loop().create_task(self._blame(batch, error))
            return
        self._cost.observe(len(batch), _padded(batch), self._clock() - self._started)
        self._be_free()  # before the callers go on: the model shall not wait for them
        self._give(batch, found, took)

    def _give(self, batch: Sequence[Item[I, O]], answers: Sequence[O], took: float) -> None:
        self._observe(batch, took)
        for item, answer in zip(batch, answers, strict=True):
            request = item.request
            request.answers[item.place] = answer
            request.unanswered -= 1
            if not request.unanswered and request.is_wanted:
                request.future.set_result(cast("list[O]", request.answers))

    async def _blame(self, batch: Sequence[Item[I, O]], error: Exception) -> None:
        """Find out what made a batch fail, while the others wait."""
        try:
            await self._run_canary()
        except Exception as general:  # noqa: BLE001 - whatever it is, the model is to blame
            broken = f"The model fails: {type(general).__name__}."
            for item in batch:
                self._fail(item.request, NotReady(broken))
        else:
            await self._halve(batch, error)
        self._be_free()

    async def _halve(self, batch: Sequence[Item[I, O]], error: Exception) -> None:
        if len(batch) == 1:
            self._fail(batch[0].request, error)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if not (wanted := self._wanted(half)):
                continue
            try:
                answers, took = await self._call(_values(wanted), _padded(wanted))
            except Exception as again:  # noqa: BLE001 - the search goes on in this half
                await self._halve(wanted, again)
            else:
                self._give(wanted, answers, took)

    def _wanted(self, batch: Sequence[Item[I, O]]) -> list[Item[I, O]]:
        """Leave out those for whom nobody waits any more; a late one learns that here."""
        now = self._clock()
        for item in batch:
            if now >= item.request.deadline_at and item.request.is_wanted:
                self._metrics.dropped.labels("expired").inc()
                self._fail(item.request, DeadlineExceeded(EXPIRED))
        return [item for item in batch if item.request.is_wanted]

    def _fail(self, request: Request[I, O], error: Exception) -> None:
        if request.is_wanted:
            request.future.set_exception(error)
        self.drop(request, "expired" if isinstance(error, DeadlineExceeded) else "failed")

    def _observe(self, batch: Sequence[Item[I, O]], took: float) -> None:
        padded, used = _padded(batch), sum(item.tokens for item in batch)
        self._metrics.batch_items.observe(len(batch))
        self._metrics.batch_tokens.observe(padded)
        self._metrics.padding.observe(1 - used / padded)
        self._metrics.inference.observe(took)
        gone = sum(item.tokens for item in batch if not item.request.is_wanted)
        if gone:
            self._metrics.wasted.inc(took * gone / used)


def _padded(batch: Sequence[Item[I, O]]) -> int:
    return max(item.tokens for item in batch) * len(batch)


def _values(batch: Sequence[Item[I, O]]) -> list[I]:
    return [item.request.values[item.place] for item in batch]


def _checked(answers: Sequence[O] | Exception, asked: Sequence[object]) -> Sequence[O]:
    if isinstance(answers, Exception):
        raise answers
    if len(answers) != len(asked):
        raise ValueError(f"The model gave {len(answers)} answers to {len(asked)} inputs.")
    return answers
