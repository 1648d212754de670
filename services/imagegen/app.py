"""Put the picture service's API together; the painting is the worker's."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from kit.app import Resources, build_app
from kit.errors import NotReady
from kit.metrics import Metrics
from kit.settings import load
from services.imagegen import routes
from services.imagegen.housekeeping import end, sweep_forever
from services.imagegen.metrics import QueueMetrics
from services.imagegen.orders import Orders
from services.imagegen.queue import Jobs, connect
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage

OBSERVE_SECONDS = 2.0
DESCRIPTION = "Pictures from words, and blends of pictures and words, behind a durable queue."


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the API; it needs Redis and a storage, and a worker somewhere that paints."""
    settings = settings or load(Settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        storage = await asyncio.to_thread(Storage.at, settings.storage_url)
        async with connect(settings.redis_url, 64 + settings.max_event_streams) as client:
            jobs = Jobs(client, settings)

            async def worker_is_alive() -> None:
                age = await jobs.heartbeat_age_seconds()
                if math.isinf(age):
                    raise NotReady("No worker is alive.")
                if age > settings.max_heartbeat_age_seconds:
                    raise NotReady(f"The last sign of life of a worker is {age:.0f} s old.")

            app.state.health.checks |= {
                "redis": jobs.ping,
                "storage": storage.check,
                "worker": worker_is_alive,
            }
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(sweep_forever(jobs, storage, settings.lease_seconds / 3)),
                    tasks.create_task(_observe_forever(app, jobs)),
                ]
                yield {
                    "jobs": jobs,
                    "orders": Orders(jobs, storage, settings),
                    "streams": asyncio.Semaphore(settings.max_event_streams),
                }
                await end(running)

    return build_app(
        "imagegen",
        description=DESCRIPTION,
        settings=settings,
        routers=[routes.router],
        life=life,
    )


async def _observe_forever(app: FastAPI, jobs: Jobs) -> None:
    """Keep the queue's metrics and `/info` up to date."""
    metrics: Metrics = app.state.metrics
    queue = QueueMetrics(metrics)
    while True:
        try:
            queue.observe(await jobs.totals())
            app.state.health.info["model"] = (await jobs.card()).model_dump()
        except NotReady as error:
            app.state.health.info["model"] = error.detail
        await asyncio.sleep(OBSERVE_SECONDS)
