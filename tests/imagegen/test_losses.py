"""What happens to jobs whose worker is lost, against a real Redis."""

import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.values import Status
from tests.imagegen.queueing import (
    PICTURE,
    OwnRedis,
    answers,
    claim_one,
    impatient,
    is_written,
    own_queue,
    report,
    submit,
)
from tests.support import until


async def test_a_stale_generation_is_refused_everything(settings: Settings, jobs: Jobs) -> None:
    await submit(jobs)
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    stale = await claim_one(hasty)
    await hasty.sweep()
    fresh = await claim_one(jobs)
    assert (stale.losses, fresh.generation, fresh.losses) == (0, 2, 1)
    assert await jobs.renew([report(stale, 1)]) == set()
    assert not await jobs.release(stale)
    assert not await jobs.fail(stale, "stale")
    assert not await jobs.finish(stale, [PICTURE])
    assert await jobs.renew([report(fresh, 1)]) == {fresh.id}
    assert await jobs.finish(fresh, [PICTURE])


async def test_a_renewed_lease_is_not_swept(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    await jobs.renew([report(await claim_one(jobs), 2)])
    await jobs.sweep()
    seen = await jobs.look(job_id, "ann")
    assert (seen.status, seen.step, seen.steps) == (Status.PAINTING, 2, 4)


async def test_leases_are_not_swept_right_after_redis_started(
    settings: Settings, jobs: Jobs
) -> None:
    job_id = await submit(jobs)
    await claim_one(impatient(settings, jobs, lease_seconds=0.0))
    await impatient(settings, jobs, lease_seconds=1e6).sweep()
    assert (await jobs.look(job_id, "ann")).status is Status.PAINTING


async def test_a_job_that_costs_three_workers_is_given_up(settings: Settings, jobs: Jobs) -> None:
    job_id = await submit(jobs)
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    for _ in range(3):
        await claim_one(hasty)
        await hasty.sweep()
    seen = await jobs.look(job_id, "ann")
    assert seen.status is Status.FAILED
    assert seen.error == (
        "Given up after 3 attempts: each time the worker was lost while painting."
    )
    assert (await jobs.totals()).jobs["dead"] == 1
    assert await jobs.claim(1) == []


async def test_all_of_a_dead_letter_stays_as_long_as_its_entry(
    settings: Settings, jobs: Jobs, redis: Redis
) -> None:
    hasty = impatient(settings, jobs, lease_seconds=0.0, max_losses=1, result_ttl_seconds=1)
    job_id = await submit(hasty, idempotency=("key", "digest"))
    await claim_one(hasty)
    await hasty.sweep()
    week_ms = 7 * 24 * 3600 * 1000
    for key in (f"job:{job_id}", f"events:{job_id}", "idem:ann:key"):
        assert week_ms - await redis.pttl(f"{{imagegen}}:{key}") < 60_000
    died: Any = await redis.zscore("{imagegen}:dead", job_id)
    assert await redis.zscore("{imagegen}:expiring", f"ann/{job_id}") == died + week_ms


async def test_a_job_that_kills_workers_takes_no_neighbours_with_it(
    settings: Settings, jobs: Jobs
) -> None:
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    poison = await submit(jobs)
    neighbours = [await submit(jobs) for _ in range(3)]
    while batch := await hasty.claim(4):
        if poison in [job.id for job in batch]:
            await hasty.sweep()
        else:
            assert [await jobs.finish(job, [PICTURE]) for job in batch] == [True] * len(batch)
    assert (await jobs.look(poison, "ann")).status is Status.FAILED
    ends = [(await jobs.look(job_id, "ann")).status for job_id in neighbours]
    assert ends == [Status.DONE] * 3


async def test_handing_a_job_back_is_not_charged(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    later = await submit(jobs)
    for _ in range(5):
        job = await claim_one(jobs)
        assert job.id == job_id, f"it lost its place to {later}"
        assert await jobs.release(job)


async def test_after_a_crash_of_redis_every_worker_has_a_whole_lease_to_report(
    tmp_path: Path,
) -> None:
    server = OwnRedis(tmp_path / "redis")
    async with own_queue(server, tmp_path, lease_seconds=2.0) as jobs:
        for _ in range(2):
            await submit(jobs)
        alive, dead = [await claim_one(jobs) for _ in range(2)]
        await until(lambda: is_written(jobs))
        leases_end = time.monotonic() + 2.0
        server.kill()

        async def leases_have_ended() -> bool:
            return time.monotonic() > leases_end

        await until(leases_have_ended)
        server.start()
        await until(lambda: answers(jobs))
        await jobs.sweep()
        assert await jobs.renew([report(alive, 1)]) == {alive.id}

        async def is_swept() -> bool:
            await jobs.sweep()
            assert await jobs.renew([report(alive, 1)]) == {alive.id}
            return (await jobs.look(dead.id, "ann")).status is Status.WAITING

        await until(is_swept)
        assert await jobs.finish(alive, [PICTURE])
        assert (await jobs.totals()).lost == 1


@pytest.mark.parametrize("first", ["sweep", "claim", "renew"])
async def test_a_redis_that_was_frozen_or_loading_counts_nobody_as_lost(
    settings: Settings, jobs: Jobs, redis: Redis, first: str
) -> None:
    ours = impatient(settings, jobs, lease_seconds=1.0)
    await submit(ours)
    job = await claim_one(ours)
    for moment in ("ticked", "leases"):  # all of this was two seconds ago
        await move_back(redis, moment, 2000)
    firsts: dict[str, Any] = {
        "sweep": ours.sweep(),
        "claim": ours.claim(1),
        "renew": ours.renew([]),
    }
    await firsts.pop(first)
    for other in firsts.values():
        await other
    await ours.sweep()
    assert await ours.renew([report(job, 1)]) == {job.id}


async def move_back(redis: Redis, name: str, milliseconds: int) -> None:
    """Make a moment one that is longer ago."""
    key = "{imagegen}:" + name
    if await redis.type(key) == "zset":
        members: Any = await redis.zrange(key, 0, -1)
        for member in members:
            await redis.zincrby(key, -milliseconds, member)
    else:
        await redis.decrby(key, milliseconds)


async def test_refused_results_and_lost_workers_are_counted(settings: Settings, jobs: Jobs) -> None:
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    await submit(jobs)
    stale = await claim_one(hasty)
    await hasty.sweep()
    assert not await jobs.finish(stale, [PICTURE])
    await jobs.finish(fresh := await claim_one(jobs), [PICTURE])
    for holder in (stale, fresh):
        assert not await jobs.finish(holder, [PICTURE])
    totals = await jobs.totals()
    assert (totals.lost, totals.refused) == (1, 2)


async def test_a_job_handed_back_costs_its_tenant_no_turn(jobs: Jobs) -> None:
    for tenant in ("ann", "bob"):
        await submit(jobs, tenant)
    for _ in range(3):
        job = await claim_one(jobs)
        assert job.tenant == "ann"
        await jobs.release(job)
