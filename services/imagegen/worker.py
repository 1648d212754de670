"""The worker: one process that owns one device and paints what the queue holds.

Run it with `python -m services.imagegen.worker`. It serves its own probes and metrics. On SIGTERM
it stops after the present step and hands its jobs back.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

import kit.serve
from kit.app import Resources, build_app
from kit.settings import load
from kit.tracing import Tracing
from services.imagegen.housekeeping import end, sweep_forever
from services.imagegen.metrics import WorkerMetrics
from services.imagegen.painters import Painter
from services.imagegen.queue import Jobs, connect
from services.imagegen.queue.connection import warn_if_lossy
from services.imagegen.settings import WorkerSettings
from services.imagegen.storage import Storage
from services.imagegen.studio import Studio
from services.imagegen.values import Card, Job, Status


def create_app(settings: WorkerSettings | None = None, painter: Painter | None = None) -> FastAPI:
    """Build the worker with its probes; tests pass settings and a fake painter."""
    settings = settings or load(WorkerSettings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        storage = await asyncio.to_thread(Storage.at, settings.storage_url)
        ours = await asyncio.to_thread(_load, settings) if painter is None else painter
        metrics = WorkerMetrics(app.state.metrics)
        metrics.describe(ours.card)
        async with connect(settings.redis_url) as client:
            jobs = Jobs(client, settings)

            def announce(card: Card) -> None:
                app.state.health.info["model"] = card.model_dump()

            traced = partial(_trace, app.state.tracing)
            studio = Studio(jobs, storage, ours, metrics, settings, announce, traced)
            await studio.warm_up()
            await warn_if_lossy(client)
            app.state.health.checks |= {"redis": jobs.ping, "storage": storage.check}
            # A task that fails takes the group down, and the process with it: leases recover the jobs.
            async with asyncio.TaskGroup() as tasks:
                helpers = (
                    studio.listen(),
                    studio.renew_forever(),
                    studio.report_forever(),
                    sweep_forever(jobs, storage, settings.lease_seconds / 3),
                )
                running = [tasks.create_task(helper) for helper in helpers]
                working = tasks.create_task(studio.work())
                yield {"studio": studio}
                studio.stop()
                await working
                await end(running)
            await studio.sign_off()

    return build_app("worker", description=__doc__ or "", settings=settings, routers=(), life=life)


def _trace(tracing: Tracing | None, job: Job, outcome: str) -> None:
    """Add to the request's trace how long its job waited and how long it was painted."""
    if tracing is None:
        return
    whose: dict[str, str | int] = {
        "switchboard.request_id": job.request_id,
        "switchboard.tenant": job.tenant,
        "switchboard.job": job.id,
    }
    did = whose | {"switchboard.outcome": outcome, "switchboard.pictures": job.drawing.count}
    failed = outcome != Status.DONE
    tracing.record("wait", job.traceparent, job.created_at, job.claimed_at, whose)
    tracing.record("paint", job.traceparent, job.claimed_at, time.time(), did, failed=failed)


def _load(settings: WorkerSettings) -> Painter:
    # torch takes seconds to import: only a process that paints pays for it.
    from services.imagegen.painters import loading

    return loading.load(settings)


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("services.imagegen.worker"))
