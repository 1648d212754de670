"""What keeps the queue clean; the API and the workers all do it, at any time, without harm."""

import asyncio
from collections.abc import Iterable

import structlog

from kit.errors import ServiceError
from services.imagegen.queue import Jobs
from services.imagegen.storage import Storage

log = structlog.get_logger(__name__)


async def sweep_forever(jobs: Jobs, storage: Storage, every_seconds: float) -> None:
    """Requeue what lost its worker and delete what has expired."""
    while True:
        try:
            await sweep(jobs, storage)
        except ServiceError as error:
            log.warning("sweep_postponed", reason=error.detail)
        await asyncio.sleep(every_seconds)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a call to Redis or the storage may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)


async def sweep(jobs: Jobs, storage: Storage) -> None:
    """Go on until nothing is due; files are forgotten only after they are gone."""
    while due := await jobs.sweep():
        for expired in due:
            tenant, _, job_id = expired.partition("/")
            await storage.delete_job(tenant, job_id)
            await jobs.forget(expired)
