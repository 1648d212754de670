"""The one thread in which a model runs."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

I = TypeVar("I")
O = TypeVar("O")

Done = Callable[[Sequence[O] | Exception, float], None]
"""Takes the model's answers, or what it raised, and the seconds that it took."""


class ModelThread(Generic[I, O]):
    """Runs one batch after the other and reports each on the event loop that started it.

    A daemon: a model that hangs shall not keep the process from ending.
    """

    def __init__(self, run: Callable[[list[I]], Sequence[O]]) -> None:
        self._run = run
        self._batches: SimpleQueue[tuple[list[I], Done[O]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, values: list[I], done: Done[O]) -> None:
        """Run the model on a batch, when those before it are done."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        self._batches.put((values, done))

    async def stop(self, seconds: float) -> None:
        """End the thread, or leave it behind if its model does not come back in time."""
        self._batches.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, seconds)

    def _work(self) -> None:
        assert self._loop is not None
        while (batch := self._batches.get()) is not None:
            values, done = batch
            started = time.perf_counter()
            answers: Sequence[O] | Exception
            try:
                answers = self._run(values)
            except Exception as error:  # noqa: BLE001 - this batch fails, the thread must not end
                answers = error
            except BaseException as error:  # noqa: BLE001 - an exit of the model is not ours
                answers = RuntimeError(f"The model wanted to end: {type(error).__name__}.")
            seconds = time.perf_counter() - started
            try:
                self._loop.call_soon_threadsafe(done, answers, seconds)
            except RuntimeError:  # the loop was closed meanwhile
                return
