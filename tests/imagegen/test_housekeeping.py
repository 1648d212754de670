"""What runs beside the requests."""

import asyncio
from contextlib import suppress

import pytest

from kit.errors import NotFound
from services.imagegen.housekeeping import end, sweep
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage, painted_path
from tests.imagegen.queueing import claim_one, impatient, submit
from tests.support import until


async def test_a_swallowed_cancellation_does_not_hold_up_the_end():
    begun = asyncio.Event()

    async def deaf_once() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf_once())
    await begun.wait()
    async with asyncio.timeout(30):
        await end([task])
    assert task.cancelled()


async def test_sweeping_goes_on_until_nothing_is_due_and_many_may_sweep_at_once(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.imagegen.queue.jobs.SWEEP_LIMIT", 2)
    storage = await asyncio.to_thread(Storage.at, settings.storage_url)
    brief = impatient(settings, jobs, result_ttl_seconds=1)
    paths = []
    for _ in range(5):
        await submit(brief)
        job = await claim_one(brief)
        paths += [painted_path(job, number) for number in range(3)]
        for path in paths[-3:]:
            await storage.put(path, b"picture")
        await brief.finish(job, [])

    async def are_due() -> bool:
        due = await brief._redis.zcount("{imagegen}:expiring", "-inf", await brief._now_ms())
        return due == 5

    await until(are_due)
    await asyncio.gather(*(sweep(brief, storage) for _ in range(3)))
    for path in paths:
        with pytest.raises(NotFound):
            await storage.get(path)
    assert await brief.sweep() == []
