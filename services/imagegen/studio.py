"""The worker's loop: claim, paint in a thread, have it delivered."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from kit.errors import NotReady
from kit.models import ModelUnavailable
from services.imagegen.batch import Batch, Held, News
from services.imagegen.delivery import Deliveries
from services.imagegen.metrics import Rate, WorkerMetrics
from services.imagegen.painters import DeviceLost, OutOfMemory, Painter, paint_all
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage
from services.imagegen.values import Card, Drawing, Job

T = TypeVar("T")
CANARY = "a red circle"
IDLE_SECONDS = 1.0  # a wake-up message may be missed
RETRY_SECONDS = 1.0
TELL_SECONDS = 0.1  # progress is published no more often: nobody sees more, each word costs all
KEPT_BATCHES = 2  # claimed and not yet stored, at which nothing more is claimed
log = structlog.get_logger(__name__)


class Studio:
    """One painter and its batches, one after the other; a batch takes in new jobs as slots free.

    What is painted is delivered while the painting goes on; when that takes long, because Redis or
    the storage is away, no more is claimed than can be kept.
    """

    def __init__(
        self,
        jobs: Jobs,
        storage: Storage,
        painter: Painter,
        metrics: WorkerMetrics,
        settings: Settings,
        announce: Callable[[Card], None] = lambda _: None,
        on_ended: Callable[[Job, str], None] = lambda _, __: None,
    ) -> None:
        self._jobs = jobs
        self._painter = painter
        self._metrics = metrics
        self._settings = settings
        self._announce = announce
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._held = Held()
        self._batch: Batch | None = None
        self._deliveries = Deliveries(jobs, storage, self._held, self._wake.set, on_ended)
        self._rate = Rate()

    async def warm_up(self) -> None:
        """Fill all slots once to load the kernels and find memory's limit, once for the rate."""
        card = self._painter.card
        canary = Drawing(
            prompt=CANARY,
            negative_prompt=card.negative_prompt,
            seed=0,
            count=card.slots,
            **card.model_dump(include={"width", "height", "steps", "guidance"}),
        )
        await self._rehearse(canary.model_copy(update={"steps": 2}))
        self._rate.observe(card.pixel_steps(canary), await self._rehearse(canary))

    async def work(self) -> None:
        """Serve batches until `stop`; deliver what is painted by then and hand the rest back."""
        lost: DeviceLost | None = None
        try:
            async with self._deliveries:
                while not self._is_stopping:
                    try:
                        await self._serve()
                    except DeviceLost as error:
                        lost = error
                        self.stop()
                    except NotReady as error:
                        log.warning("waiting_for_the_queue", reason=error.detail)
                        await self._idle(RETRY_SECONDS)
        finally:
            self.stop()
            self._thread.shutdown(wait=False)
        await self._hand_back(self._held.jobs)
        if lost:
            raise lost

    async def listen(self) -> None:
        """Wake up for new jobs, and drop cancelled ones from the batch at once."""
        while True:
            try:
                async for message in self._jobs.wakes():
                    if message == "job":
                        self._wake.set()
                    else:
                        self._held.cancel(message)
            except NotReady:
                await asyncio.sleep(RETRY_SECONDS)

    async def renew_forever(self) -> None:
        """Keep the leases and publish each step, from outside the painting thread."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lease_seconds / 6):
                    await self._held.moved.wait()
            self._held.moved.clear()
            if reports := self._held.reports():
                with suppress(NotReady):
                    ours = await self._jobs.renew(reports)
                    self._held.drop(each.job for each in reports if each.job.id not in ours)
            await asyncio.sleep(TELL_SECONDS)

    async def report_forever(self) -> None:
        """Give signs of life."""
        while True:
            card = self._painter.card
            self._announce(card)
            with suppress(NotReady):
                await self._jobs.report(self._name, card, self._rate.per_second, card.slots)
            await asyncio.sleep(min(5.0, self._settings.lease_seconds / 3))

    async def sign_off(self) -> None:
        """Tell the queue that this worker ends as it should."""
        with suppress(NotReady):
            await self._jobs.sign_off(self._name)

    def stop(self) -> None:
        """Hand the jobs back after the present step and take no more."""
        self._is_stopping = True
        self._deliveries.stop()
        self._wake.set()
        if self._batch:
            self._batch.stop()

    async def _serve(self) -> None:
        """Paint a batch and all that join it, or wait for work."""
        self._wake.clear()
        claimed = await self._claim(self._settings.batch_pictures)
        if not claimed:
            await self._idle(IDLE_SECONDS)
            return
        batch = self._batch = Batch(self._painter, self._held, claimed, self._hear)
        try:
            await self._invite(batch, claimed)
            while not batch.is_empty and not self._is_stopping:
                await self._paint(batch)
        finally:
            self._batch = None

    async def _claim(self, max_pictures: int, joining: str = "") -> list[Job]:
        kept = sum(job.drawing.count for job in self._held.jobs)
        if kept >= KEPT_BATCHES * self._settings.batch_pictures:
            return []
        claimed = await self._jobs.claim(max_pictures, joining)
        self._held.add(claimed)
        for job in claimed:
            self._metrics.wait.observe(job.queued_seconds)
        return claimed

    async def _invite(self, batch: Batch, jobs: Sequence[Job]) -> None:
        """Have jobs painted as soon as their sources are there."""
        for job in jobs:
            try:
                sources = await self._deliveries.sources(job.drawing)
            except NotReady:
                return  # told to stop: the job is handed back at the end
            except Exception as error:  # noqa: BLE001 - this job fails, the others go on
                self._deliveries.fail(job, error)
            else:
                batch.invite(job, sources)

    async def _paint(self, batch: Batch) -> None:
        """Paint until nobody is left; who is not painted to the end is handed back."""
        batch.is_painting = True
        joining = asyncio.create_task(self._join(batch))
        reason = ""
        try:
            await self._in_thread(batch.paint)
        except OutOfMemory:
            self._metrics.oom.inc()
        except DeviceLost:
            reason = "the device failed."
            raise
        except Exception:
            log.exception("painting_failed", batch=batch.key)
            reason = "the painter failed."
        finally:
            batch.is_painting = False
            self._wake.set()
            await joining
            left, seconds = batch.leave()
            self._metrics.shared.wasted.inc(seconds)
            await self._hand_back(left, reason)

    async def _join(self, batch: Batch) -> None:
        """Claim what may join the batch, as often as slots are free and something new waits."""
        while batch.is_painting:
            self._wake.clear()
            claimed: list[Job] = []
            if batch.is_joinable and batch.room > 0:
                with suppress(NotReady):
                    claimed = await self._claim(batch.room, batch.key)
                    await self._invite(batch, claimed)
            if not claimed:
                await self._idle(IDLE_SECONDS)

    def _hear(self, news: News) -> None:
        """Take in what a step brought; called in the loop."""
        self._metrics.passed(news.seconds, news.rows, news.bucket)
        self._metrics.oom.inc(news.out_of_memory)
        self._metrics.shared.wasted.inc(news.wasted_seconds)
        if news.rows == news.bucket:
            self._rate.observe(news.pixel_steps, news.seconds)
        self._held.note(news.reports)
        for job, painted, seconds in news.finished:
            self._metrics.painted(seconds, job.drawing.count)
            self._deliveries.deliver(job, painted, self._painter.card)
        for job, error in news.failed:
            self._deliveries.fail(job, error)
        if news.has_more_room:
            self._wake.set()

    async def _hand_back(self, jobs: Sequence[Job], reason: str = "") -> None:
        """Give up jobs that are still ours; a reason charges them with a failed attempt."""
        ours = [job for job in jobs if job.id in self._held.ids]
        self._held.drop(ours)
        with suppress(NotReady):
            await asyncio.gather(*(self._jobs.release(job, reason) for job in ours))
        if ours:
            log.info("handed_back", jobs=[job.id for job in ours], reason=reason)

    async def _rehearse(self, canary: Drawing) -> float:
        """Paint the canary and return the seconds, in the largest bucket that memory holds."""
        for _ in range(canary.count.bit_length()):
            started = time.monotonic()
            with suppress(OutOfMemory):
                await self._in_thread(lambda: paint_all(self._painter, [canary]))
                return time.monotonic() - started
        raise ModelUnavailable("The device's memory does not hold a single picture.")

    async def _idle(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
