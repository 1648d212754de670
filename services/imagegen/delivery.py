"""What comes before and after painting: sources fetched, pictures stored, jobs ended."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self, TypeVar

import structlog
from PIL import Image

from kit import logs
from kit.errors import NotReady, ServiceError
from services.imagegen import pictures
from services.imagegen.batch import Held
from services.imagegen.painters import OutOfMemory, Painted
from services.imagegen.queue import Jobs
from services.imagegen.storage import Storage, painted_path
from services.imagegen.values import Card, Drawing, Job, Status, StoredPicture

T = TypeVar("T")
RETRY_SECONDS = 1.0
log = structlog.get_logger(__name__)


class Deliveries:
    """Jobs on their way from the painter to the queue; enter it to have them all delivered.

    A result is stored before it is finished, and finished before anyone sees it. While Redis or the
    storage is away the pictures are kept and the calls repeated; once told to stop, they are not.
    """

    def __init__(
        self,
        jobs: Jobs,
        storage: Storage,
        held: Held,
        on_delivered: Callable[[], None],
        on_ended: Callable[[Job, str], None],
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._held = held
        self._on_delivered = on_delivered
        self._on_ended = on_ended
        self._tasks = asyncio.TaskGroup()
        self._is_stopping = False

    async def __aenter__(self) -> Self:
        """Begin to deliver."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait until everything is delivered."""
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]

    def deliver(self, job: Job, painted: Painted, card: Card) -> None:
        """Store and finish a job in the background."""
        self._tasks.create_task(self._deliver(job, painted, card))

    def fail(self, job: Job, error: Exception) -> None:
        """End a job with a reason in the background."""
        self._tasks.create_task(self._fail(job, error))

    async def sources(self, drawing: Drawing) -> dict[str, Image.Image]:
        """Fetch the pictures that a drawing starts from."""
        paths = {part.picture for part in drawing.ingredients if part.picture is not None}
        return {
            path: await asyncio.to_thread(pictures.decode, await self._fetch(path))
            for path in paths
        }

    def stop(self) -> None:
        """Try everything once more and then give up."""
        self._is_stopping = True

    async def _deliver(self, job: Job, painted: Painted, card: Card) -> None:
        logs.enter(job.ids)  # of this task alone
        try:
            if not await self._is_ours(job):
                return
            stored = [await self._store(job, n, painted, card) for n in range(job.drawing.count)]
            if await self._insist(lambda: self._jobs.finish(job, stored)):
                self._on_ended(job, Status.DONE)
            else:
                log.info("finish_refused", job=job.id, generation=job.generation)
            self._held.drop([job])
        except NotReady:
            log.warning("not_delivered", job=job.id)
        finally:
            self._on_delivered()

    async def _is_ours(self, job: Job) -> bool:
        """Publish the last step, which also tells whether storing the pictures is worth it."""
        last = self._held.report(job)
        return last is not None and job.id in await self._insist(lambda: self._jobs.renew([last]))

    async def _store(self, job: Job, number: int, painted: Painted, card: Card) -> StoredPicture:
        drawing, seed = job.drawing, job.drawing.seeds[number]
        png = await asyncio.to_thread(
            pictures.encode, painted.pictures[number], drawing, seed, card, painted.how
        )
        path = painted_path(job, number)
        await self._insist(lambda: self._storage.put(path, png))
        return StoredPicture(
            path=path,
            seed=seed,
            width=drawing.width,
            height=drawing.height,
            sha256=pictures.sha256(png),
        )

    async def _fail(self, job: Job, error: Exception) -> None:
        logs.enter(job.ids)  # of this task alone
        log.warning("job_failed", job=job.id, exc_info=error)
        with suppress(NotReady):
            if await self._insist(lambda: self._jobs.fail(job, _reason(error))):
                self._on_ended(job, Status.FAILED)
            self._held.drop([job])

    async def _fetch(self, path: str) -> bytes:
        return await self._insist(lambda: self._storage.get(path))

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


def _reason(error: Exception) -> str:
    """Say why a job failed, without internals."""
    if isinstance(error, OutOfMemory):
        return "The picture does not fit into the device's memory; ask for a smaller one."
    if isinstance(error, ServiceError):
        return error.detail
    return "The painter failed on this request."
