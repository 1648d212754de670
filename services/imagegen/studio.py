"""The worker's loop: claim, paint in a thread, store, finish."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog
from PIL import Image

from kit.errors import NotReady, ServiceError
from services.imagegen import pictures
from services.imagegen.batch import Batch
from services.imagegen.metrics import WorkerMetrics
from services.imagegen.painters import DeviceLost, OutOfMemory, Painter
from services.imagegen.queue import Jobs
from services.imagegen.schemas import Drawing, Job, Report, StoredPicture
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage, painted_path

T = TypeVar("T")
CANARY = "a red circle"
IDLE_SECONDS = 1.0  # a wake-up message may be missed
RETRY_SECONDS = 1.0
SMOOTHING = 0.3  # weight of the newest batch in the measured rate
log = structlog.get_logger(__name__)


class Studio:
    """One painter and its batches, one after the other.

    A result is stored before it is finished, and finished before anyone sees it. While Redis or the
    storage is away the studio keeps its finished pictures and tries again.
    """

    def __init__(
        self,
        jobs: Jobs,
        storage: Storage,
        painter: Painter,
        metrics: WorkerMetrics,
        settings: Settings,
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._painter = painter
        self._metrics = metrics
        self._settings = settings
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._batch: Batch | None = None
        self._rate = 0.0

    async def warm_up(self) -> None:
        """Paint once to load all kernels and once to measure the rate."""
        card = self._painter.card
        canary = Drawing(
            prompt=CANARY,
            negative_prompt=card.negative_prompt,
            seed=0,
            count=1,
            **card.model_dump(include={"width", "height", "steps", "guidance"}),
        )
        for _ in range(2):
            started = time.monotonic()
            await self._in_thread(lambda: self._painter.paint([canary], {}, lambda _, __: ()))
            self._rate = self._full_rate([canary], time.monotonic() - started)

    async def work(self) -> None:
        """Serve batches until `stop`."""
        while not self._is_stopping:
            self._wake.clear()
            try:
                claimed = await self._jobs.claim(self._settings.batch_pictures)
                if claimed:
                    await self._serve(claimed)
                else:
                    await self._idle(IDLE_SECONDS)
            except NotReady as error:
                log.warning("waiting_for_the_queue", reason=error.detail)
                await self._idle(RETRY_SECONDS)
        self._thread.shutdown(wait=False)

    async def listen(self) -> None:
        """Wake up for new jobs, and drop cancelled ones from the batch at once."""
        while True:
            try:
                async for message in self._jobs.wakes():
                    if message == "job":
                        self._wake.set()
                    elif self._batch:
                        self._batch.drop(message)
            except NotReady:
                await asyncio.sleep(RETRY_SECONDS)

    async def report_forever(self) -> None:
        """Give signs of life."""
        while True:
            with suppress(NotReady):
                await self._jobs.report(
                    self._name, self._painter.card, self._rate, self._settings.batch_pictures
                )
            await asyncio.sleep(min(5.0, self._settings.lease_seconds / 3))

    async def sign_off(self) -> None:
        """Tell the queue that this worker ends as it should."""
        with suppress(NotReady):
            await self._jobs.sign_off(self._name)

    def stop(self) -> None:
        """Hand the jobs back after the present step and take no more."""
        self._is_stopping = True
        self._wake.set()
        if self._batch:
            self._batch.stop()

    async def _serve(self, claimed: Sequence[Job]) -> None:
        for job in claimed:
            self._metrics.wait.observe(job.queued_seconds)
        batch = self._batch = Batch(claimed)
        if self._is_stopping:
            batch.stop()
        renewing = asyncio.create_task(self._renew(batch))
        try:
            await self._paint(batch, claimed)
        except (DeviceLost, NotReady) as error:
            reason = "the device failed." if isinstance(error, DeviceLost) else ""
            with suppress(NotReady):
                await asyncio.gather(*(self._jobs.release(job, reason) for job in batch.held))
            raise
        finally:
            renewing.cancel()
            self._batch = None

    async def _renew(self, batch: Batch) -> None:
        """Keep the leases and publish each step, from outside the painting thread."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_seconds / 6):
                    await batch.moved.wait()
            batch.moved.clear()
            with suppress(NotReady):
                reports = [
                    Report(job=job, step=batch.step, steps=batch.steps) for job in batch.held
                ]
                batch.keep(await self._jobs.renew(reports))

    async def _paint(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Paint and deliver; when a batch fails, paint its jobs alone to find the one that fails."""
        drawings = [job.drawing for job in jobs]
        try:
            sources = await self._sources(drawings)
            started = time.monotonic()
            painted = await self._in_thread(
                lambda: self._painter.paint(drawings, sources, batch.watch(jobs))
            )
        except (DeviceLost, NotReady):
            raise
        except Exception as error:
            log.exception("painting_failed", jobs=[job.id for job in jobs])
            self._metrics.oom.inc(isinstance(error, OutOfMemory))
            await self._narrow(batch, jobs, _reason(error))
            return
        self._observe(batch, drawings, painted, time.monotonic() - started)
        await asyncio.gather(*map(self._deliver, [batch] * len(jobs), jobs, painted))

    async def _narrow(self, batch: Batch, jobs: Sequence[Job], reason: str) -> None:
        if len(jobs) == 1:
            await self._insist(lambda: self._jobs.fail(jobs[0], reason))
            return
        for job in jobs:
            await self._paint(batch, [job])

    async def _sources(self, drawings: Sequence[Drawing]) -> dict[str, Image.Image]:
        paths = {part.picture for drawing in drawings for part in drawing.ingredients}
        return {
            path: await asyncio.to_thread(pictures.decode, await self._fetch(path))
            for path in paths
            if path is not None
        }

    async def _fetch(self, path: str) -> bytes:
        return await self._insist(lambda: self._storage.get(path))

    async def _deliver(self, batch: Batch, job: Job, painted: Sequence[Image.Image]) -> None:
        if not painted:
            if batch.holds(job):
                await self._jobs.release(job)
                log.info("handed_back", job=job.id)
            return
        stored = [await self._store(job, n, picture) for n, picture in enumerate(painted)]
        if not await self._insist(lambda: self._jobs.finish(job, stored)):
            log.info("finish_refused", job=job.id, generation=job.generation)

    async def _store(self, job: Job, number: int, picture: Image.Image) -> StoredPicture:
        seed = job.drawing.seeds[number]
        card = self._painter.card
        png = await asyncio.to_thread(pictures.encode, picture, job.drawing, seed, card)
        path = painted_path(job, number)
        await self._insist(lambda: self._storage.put(path, png))
        return StoredPicture(
            path=path,
            seed=seed,
            width=picture.width,
            height=picture.height,
            sha256=pictures.sha256(png),
        )

    def _observe(
        self,
        batch: Batch,
        drawings: Sequence[Drawing],
        painted: Sequence[Sequence[Image.Image]],
        seconds: float,
    ) -> None:
        for step_seconds in batch.step_seconds:
            self._metrics.step.observe(step_seconds)
        batch.step_seconds.clear()
        number = sum(drawing.count for drawing in drawings)
        wasted = sum(d.count for d, done in zip(drawings, painted, strict=True) if not done)
        self._metrics.painted(seconds, number, wasted / number)
        if not wasted:
            self._rate += SMOOTHING * (self._full_rate(drawings, seconds) - self._rate)

    def _full_rate(self, drawings: Sequence[Drawing], seconds: float) -> float:
        """Return pixel-steps per second as if the batch had been full: it would take no longer."""
        cost = sum(map(self._painter.card.pixel_steps, drawings))
        number = sum(drawing.count for drawing in drawings)
        return cost * max(1.0, self._settings.batch_pictures / number) / seconds

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until Redis or the storage is back; give up when told to stop."""
        while True:
            try:
                return await call()
            except NotReady as error:
                if self._is_stopping:
                    raise
                log.warning("trying_again", reason=error.detail)
                await asyncio.sleep(RETRY_SECONDS)

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _reason(error: Exception) -> str:
    """Say why a job failed, without internals."""
    if isinstance(error, OutOfMemory):
        return "The picture does not fit into the device's memory; ask for a smaller one."
    if isinstance(error, ServiceError):
        return error.detail
    return "The painter failed on this request."
