"""Who is served when, what they are told, and what is refused, against a real Redis."""

from typing import Any

import pytest
from redis.asyncio import Redis

from kit.errors import Overloaded
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.values import Status
from tests.imagegen.fakes import CARD, drawing
from tests.imagegen.queueing import PICTURE, RATE, claim_one, fill, impatient, report, submit


async def test_priority_orders_a_tenants_own_jobs(jobs: Jobs) -> None:
    first = await submit(jobs)
    urgent = await submit(jobs, priority=9)
    second = await submit(jobs)
    assert [(await claim_one(jobs)).id for _ in range(3)] == [urgent, first, second]


async def test_position_and_eta_come_from_cost_and_rate(jobs: Jobs) -> None:
    await jobs.report("test", CARD, RATE)
    ids = [await submit(jobs) for _ in range(3)]
    seen = [await jobs.look(job_id, "ann") for job_id in ids]
    assert [job.position for job in seen] == [1, 2, 3]
    assert [job.eta_seconds for job in seen] == [1.0, 2.0, 3.0]
    await claim_one(jobs)
    assert [(await jobs.look(job_id, "ann")).position for job_id in ids] == [None, 1, 2]


async def test_a_full_queue_tells_when_to_come_back(settings: Settings, jobs: Jobs) -> None:
    await jobs.report("test", CARD, RATE)
    small = impatient(settings, jobs, max_backlog_seconds=2.0)
    for _ in range(5):
        await submit(jobs)
    with pytest.raises(Overloaded) as refused:
        await submit(small)
    assert refused.value.retry_after_seconds == pytest.approx(3.3)
    assert (await jobs.totals()).jobs["waiting"] == 5


async def test_the_backlog_counts_living_workers_and_does_not_vanish_with_the_last(
    jobs: Jobs, redis: Redis
) -> None:
    await jobs.report("test", CARD, RATE)
    await jobs.report("other", CARD, RATE)
    for _ in range(4):
        await submit(jobs)
    assert (await jobs.totals()).backlog_seconds == pytest.approx(2.0)
    await redis.zadd("{imagegen}:workers", {"other": 0})  # it was killed long ago
    assert (await jobs.totals()).backlog_seconds == pytest.approx(4.0)
    for worker in ("test", "other"):
        await jobs.sign_off(worker)
    assert (await jobs.totals()).backlog_seconds == pytest.approx(4.0)


async def test_a_tenant_has_a_bound_of_its_own(settings: Settings, jobs: Jobs) -> None:
    small = impatient(settings, jobs, max_waiting_per_tenant=2)
    await submit(small)
    await submit(small)
    with pytest.raises(Overloaded):
        await submit(small)
    await submit(small, "bob")


async def test_what_cannot_meet_its_deadline_is_refused(jobs: Jobs) -> None:
    await jobs.report("test", CARD, RATE)
    await submit(jobs)
    await submit(jobs)
    with pytest.raises(Overloaded) as refused:
        await submit(jobs, deadline_seconds=2.5)
    assert refused.value.retry_after_seconds == pytest.approx(0.8)
    await submit(jobs, deadline_seconds=3.5)
    # Fair sharing serves another tenant's first job earlier.
    await submit(jobs, "bob", deadline_seconds=2.5)


async def test_expired_work_is_never_started(jobs: Jobs) -> None:
    late = await submit(jobs, deadline_seconds=1e-6)
    good = await submit(jobs)
    assert [job.id for job in await jobs.claim(4)] == [good]
    assert "deadline" in str((await jobs.look(late, "ann")).error)


async def test_an_expired_job_ends_without_any_worker(jobs: Jobs) -> None:
    late = await submit(jobs, deadline_seconds=1e-6)
    await jobs.sweep()
    assert (await jobs.look(late, "ann")).status is Status.FAILED


async def test_tenants_share_fairly_by_cost(jobs: Jobs) -> None:
    for _ in range(300):
        await submit(jobs, "big")
    others = {f"tenant{n}" for n in range(30)}
    for tenant in others:
        await submit(jobs, tenant)
    served = [(await claim_one(jobs)).tenant for _ in range(33)]
    assert others <= set(served)


async def test_a_tenant_with_costly_jobs_gets_fewer_of_them(jobs: Jobs) -> None:
    for _ in range(40):
        await submit(jobs, "cheap")
        await submit(jobs, "costly", drawing=drawing(count=4))
    served = [(await claim_one(jobs)).tenant for _ in range(25)]
    assert served.count("costly") == 5


async def test_an_idle_tenant_saves_up_no_credit(jobs: Jobs) -> None:
    for _ in range(20):
        await submit(jobs, "busy")
    for _ in range(10):
        await claim_one(jobs)
    for _ in range(20):
        await submit(jobs, "late")
    served = [(await claim_one(jobs)).tenant for _ in range(10)]
    assert served.count("late") == 5


async def test_a_tenant_with_nine_tenths_of_20000_jobs_starves_nobody(
    jobs: Jobs, redis: Redis
) -> None:
    others = [f"tenant{number}" for number in range(200)]
    await fill(redis, ["big"] * 18_000 + others * 10)
    assert (await jobs.totals()).jobs["waiting"] == 20_000
    served = [job.tenant for _ in range(60) for job in await jobs.claim(8)]
    assert len(served) == 480
    assert set(others) <= set(served)
    assert served.count("big") < 10


async def test_the_time_left_counts_a_pictures_own_time_and_what_is_still_to_paint(
    jobs: Jobs,
) -> None:
    await jobs.report("test", CARD, RATE * 4, slots=4)  # a picture a second, four at once
    first = await submit(jobs)
    assert (await jobs.look(first, "ann")).eta_seconds == 1.0
    [painted] = await jobs.claim(4)
    assert (await jobs.look(first, "ann")).eta_seconds == 1.0
    behind = [await submit(jobs) for _ in range(5)]
    assert (await jobs.look(behind[4], "ann")).eta_seconds == pytest.approx(
        1.0 + (1 + 4) / 4, abs=0.1
    )
    await jobs.renew([report(painted, 2)])
    assert (await jobs.look(first, "ann")).eta_seconds == 0.5
    assert (await jobs.look(behind[4], "ann")).eta_seconds == pytest.approx(
        1.0 + (0.5 + 4) / 4, abs=0.1
    )


async def test_more_pictures_than_slots_take_several_rounds(jobs: Jobs) -> None:
    await jobs.report("test", CARD, RATE * 4, slots=4)
    await jobs.report("other", CARD, RATE * 4, slots=4)
    job_id = await submit(jobs, drawing=drawing(count=8))
    assert (await jobs.look(job_id, "ann")).eta_seconds == 2.0


@pytest.mark.parametrize(
    ("limit", "wish"),
    [
        ({"max_backlog_seconds": 6.0}, {}),
        ({"max_waiting_per_tenant": 8}, {}),
        ({}, {"deadline_seconds": 6.5}),
    ],
)
async def test_who_comes_back_when_told_is_admitted_and_not_much_before(
    settings: Settings, jobs: Jobs, limit: dict[str, float], wish: dict[str, Any]
) -> None:
    await jobs.report("test", CARD, RATE)
    limited = impatient(settings, jobs, **limit)
    for tenant in ("ann", "bob"):
        for _ in range(8 if tenant == "ann" else 2):
            await submit(jobs, tenant)
    with pytest.raises(Overloaded) as refused:
        await submit(limited, **wish)
    seconds = 0
    while await is_refused(limited, wish):  # a second, in which one job is painted
        await jobs.finish(await claim_one(jobs), [PICTURE])
        seconds += 1
    assert seconds == pytest.approx(refused.value.retry_after_seconds, abs=1)


async def is_refused(jobs: Jobs, wish: dict[str, Any]) -> bool:
    try:
        await submit(jobs, **wish)
    except Overloaded:
        return True
    return False
