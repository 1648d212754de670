"""An event loop whose clock jumps, and a model whose batches take exactly as long as they say."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from kit import deadline
from kit.batching import Batcher
from kit.metrics import Metrics
from kit.model_thread import Done, ModelThread

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """Never waits: when nothing is ready, the clock jumps to the next timer."""

    _now = 0.0
    _scheduled: list[asyncio.TimerHandle]
    _ready: Sequence[asyncio.Handle]

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready:
            pending = [timer.when() for timer in self._scheduled if not timer.cancelled()]
            assert pending, "everyone waits for something that never comes"
            self._now = max(self._now, min(pending))
        super()._run_once()  # type: ignore[misc]


def play(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on a loop of its own."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(story())


def now() -> float:
    return asyncio.get_running_loop().time()


class Text(NamedTuple):
    """An input that knows whose it is."""

    caller: int
    place: int
    tokens: int
    is_poison: bool = False


class Poisoned(Exception):
    pass


@dataclass
class Run:
    """One batch that the model was given."""

    at: float
    batch: list[Text]

    @property
    def padded(self) -> int:
        return max(text.tokens for text in self.batch) * len(self.batch)

    @property
    def padding(self) -> int:
        return self.padded - sum(text.tokens for text in self.batch)


@dataclass
class Model:
    """Costs per batch, item and padded token in seconds; stalls in given runs, for given seconds."""

    per_batch: float = 1e-3
    per_item: float = 2e-4
    per_token: float = 4e-5
    stalls: dict[int, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    is_serving: bool = False
    is_broken: bool = False

    def seconds(self, items: int, padded: int) -> float:
        return self.per_batch + self.per_item * items + self.per_token * padded

    def __call__(self, batch: list[Text]) -> Sequence[tuple[Text, str]]:
        if self.is_broken or any(text.is_poison for text in batch):
            raise Poisoned
        return [(text, "answer") for text in batch]

    def took(self, batch: list[Text]) -> float:
        if not self.is_serving:
            return self.seconds(len(batch), max(text.tokens for text in batch) * len(batch))
        run = Run(now(), batch)
        self.runs.append(run)
        return self.seconds(len(batch), run.padded) + self.stalls.get(len(self.runs), 0.0)

    @property
    def computed(self) -> list[Text]:
        return [text for run in self.runs for text in run.batch if text.caller >= 0]


class Thread(ModelThread[Text, tuple[Text, str]]):
    """Takes virtual time instead of a thread; a stall of infinity never comes back."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.model = model

    def put(self, values: list[Text], done: Done[tuple[Text, str]]) -> None:
        seconds = self.model.took(values)
        answers: Sequence[tuple[Text, str]] | Exception
        try:
            answers = self.model(values)
        except Poisoned as error:
            answers = error
        if math.isfinite(seconds):
            asyncio.get_running_loop().call_later(seconds, done, answers, seconds)

    async def stop(self, _seconds: float) -> None:
        return None


SAMPLE = [Text(-1, 0, 12), Text(-1, 0, 256)]


def batcher(
    model: Model,
    *,
    metrics: Metrics | None = None,
    max_items: int = 32,
    max_tokens: int = 4096,
    max_queue_ms: float = 1e9,
) -> Batcher[Text, tuple[Text, str]]:
    return Batcher(
        model,
        metrics=metrics or Metrics("test"),
        tokens=lambda text: text.tokens,
        max_items=max_items,
        max_tokens=max_tokens,
        max_queue_ms=max_queue_ms,
        clock=now,
        thread=lambda _: Thread(model),
    )


@contextmanager
def budget(seconds: float | None):
    """Give what is submitted inside so much time."""
    token = deadline.enter(deadline.Deadline(math.inf if seconds is None else now() + seconds))
    yield
    deadline.leave(token)
