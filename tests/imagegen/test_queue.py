"""The promises of the queue, against a real Redis."""

import re
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from kit.errors import Conflict, NotFound, NotReady, Overloaded
from services.imagegen.queue import Jobs
from services.imagegen.queue.scripts import COMMON
from services.imagegen.schemas import Ingredient, Job, Report, Status, StoredPicture
from services.imagegen.settings import Settings
from tests.imagegen.fakes import CARD, drawing
from tests.support import until

PICTURE = StoredPicture(path="p/1/0.png", seed=1, width=64, height=64, sha256="00")
RATE = 64.0 * 64 * 4  # one plain drawing per second


async def submit(jobs: Jobs, tenant: str = "ann", **options: Any) -> str:
    wish = options.pop("drawing", drawing())
    return (await jobs.submit(uuid.uuid4().hex, tenant, wish, card=CARD, **options)).id


async def claim_one(jobs: Jobs) -> Job:
    [job] = await jobs.claim(1)
    return job


def report(job: Job, step: int, preview: str | None = None) -> Report:
    return Report(job=job, step=step, steps=4, preview=preview)


def impatient(settings: Settings, jobs: Jobs, **changes: Any) -> Jobs:
    return Jobs(jobs._redis, settings.model_copy(update=changes))


async def test_a_job_is_claimed_once_and_its_result_becomes_visible(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    job = await claim_one(jobs)
    assert (job.id, job.generation, job.drawing) == (job_id, 1, drawing())
    assert await jobs.claim(1) == []
    assert (await jobs.look(job_id, "ann")).pictures == ()
    assert await jobs.finish(job, [PICTURE])
    seen = await jobs.look(job_id, "ann")
    assert (seen.status, seen.pictures) == (Status.DONE, (PICTURE,))


async def test_a_second_finish_is_refused(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    job = await claim_one(jobs)
    assert await jobs.finish(job, [PICTURE])
    other = PICTURE.model_copy(update={"path": "other"})
    assert not await jobs.finish(job, [other])
    assert not await jobs.fail(job, "too late")
    assert (await jobs.look(job_id, "ann")).pictures == (PICTURE,)


async def test_a_stale_generation_is_refused_everything(settings: Settings, jobs: Jobs) -> None:
    await submit(jobs)
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    stale = await claim_one(hasty)
    await hasty.sweep()
    fresh = await claim_one(jobs)
    assert fresh.generation == 2
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


async def test_the_same_key_gives_the_same_job(jobs: Jobs) -> None:
    first = await submit(jobs, idempotency=("key", "digest"))
    assert await submit(jobs, idempotency=("key", "digest")) == first
    with pytest.raises(Conflict):
        await submit(jobs, idempotency=("key", "other request"))
    assert await submit(jobs, "bob", idempotency=("key", "digest")) != first
    await jobs.finish(await claim_one(jobs), [PICTURE])
    assert await submit(jobs, idempotency=("key", "digest")) == first


async def test_repeating_a_submission_whose_answer_was_lost_adds_nothing(jobs: Jobs) -> None:
    job_id = uuid.uuid4().hex
    for _ in range(2):
        await jobs.submit(job_id, "ann", drawing(), card=CARD)
    assert (await jobs.totals()).jobs["waiting"] == 1


async def test_only_the_owner_finds_a_job(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    for call in (jobs.look, jobs.cancel):
        with pytest.raises(NotFound):
            await call(job_id, "bob")
    assert (await jobs.look(job_id, "ann")).status is Status.WAITING


async def test_a_cancelled_waiting_job_is_never_claimed(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    assert (await jobs.cancel(job_id, "ann")).status is Status.CANCELLED
    assert await jobs.claim(1) == []
    assert (await jobs.cancel(job_id, "ann")).status is Status.CANCELLED


async def test_a_cancelled_painted_job_never_becomes_visible(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    job = await claim_one(jobs)
    await jobs.cancel(job_id, "ann")
    assert await jobs.renew([report(job, 1)]) == set()
    assert not await jobs.finish(job, [PICTURE])
    assert (await jobs.look(job_id, "ann")).status is Status.CANCELLED


async def test_cancelling_a_finished_job_changes_nothing(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    await jobs.finish(await claim_one(jobs), [PICTURE])
    assert (await jobs.cancel(job_id, "ann")).status is Status.DONE


async def test_priority_orders_a_tenants_own_jobs(jobs: Jobs) -> None:
    first = await submit(jobs)
    urgent = await submit(jobs, priority=9)
    second = await submit(jobs)
    assert [(await claim_one(jobs)).id for _ in range(3)] == [urgent, first, second]


async def test_a_batch_holds_only_what_can_be_painted_together(jobs: Jobs) -> None:
    alike = {await submit(jobs, tenant) for tenant in ("ann", "bob", "cid")}
    other = await submit(jobs, "dan", drawing=drawing(steps=8))
    assert {job.id for job in await jobs.claim(4)} == alike
    assert [job.id for job in await jobs.claim(4)] == [other]


async def test_jobs_of_its_key_join_a_painted_batch(jobs: Jobs) -> None:
    await submit(jobs)
    [first] = await jobs.claim(4)
    joiners = [await submit(jobs, tenant) for tenant in ("ann", "bob", "cid")]
    assert {job.id for job in await jobs.claim(2, first.batch)} < set(joiners)
    assert len(await jobs.claim(2, first.batch)) == 1
    assert await jobs.claim(2, first.batch) == []


async def test_nobody_joins_once_it_is_another_keys_turn(jobs: Jobs) -> None:
    for tenant in ("ann", "bob", "ann", "bob"):
        await submit(jobs, tenant)
    [first] = await jobs.claim(1)
    other = await submit(jobs, "cid", drawing=drawing(steps=8))
    joined = await jobs.claim(8, first.batch)
    assert [job.tenant for job in joined] == ["bob"]  # then cid has had as little as anyone
    assert [job.id for job in await jobs.claim(8)] == [other]


async def test_what_is_too_large_or_has_cost_a_worker_joins_no_batch(
    settings: Settings, jobs: Jobs
) -> None:
    await submit(jobs, drawing=drawing(count=3))
    [first] = await jobs.claim(4)
    large = await submit(jobs, drawing=drawing(count=2))
    assert await jobs.claim(1, first.batch) == []
    assert [job.id for job in await jobs.claim(2, first.batch)] == [large]
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    await submit(jobs)
    await claim_one(hasty)
    await hasty.sweep()
    assert await jobs.claim(8, first.batch) == []


async def test_a_batch_never_exceeds_its_pictures(jobs: Jobs) -> None:
    for _ in range(3):
        await submit(jobs, drawing=drawing(count=2))
    await submit(jobs, drawing=drawing(count=8))
    sizes = [sum(job.drawing.count for job in await jobs.claim(4)) for _ in range(3)]
    assert sizes == [4, 2, 8]


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
    assert refused.value.retry_after_seconds == pytest.approx(3.0)
    assert (await jobs.totals()).jobs["waiting"] == 5


async def test_a_redis_without_memory_takes_no_jobs_and_says_so(jobs: Jobs, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(NotReady, match="takes no new work"):
            await submit(jobs)
    finally:
        await redis.config_set("maxmemory", 0)
    await submit(jobs)


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
    assert refused.value.retry_after_seconds == pytest.approx(0.5)
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


async def test_events_tell_the_whole_story_and_resume(jobs: Jobs) -> None:
    job_id = await submit(jobs)
    job = await claim_one(jobs)
    for step in (1, 2):
        await jobs.renew([report(job, step)])
    await jobs.finish(job, [PICTURE])
    story = await jobs.events(job_id, "0-0")
    assert [event.kind for event in story] == [
        *("waiting", "painting", "progress", "progress", "done")
    ]
    assert story[3].data == {"step": 2, "steps": 4}
    assert await jobs.events(job_id, story[2].id) == story[3:]


async def test_each_job_has_a_progress_of_its_own(jobs: Jobs) -> None:
    ids = [await submit(jobs) for _ in range(2)]
    batch = await jobs.claim(2)
    steps = dict(zip(ids, (3, 1), strict=True))
    assert await jobs.renew([report(job, steps[job.id]) for job in batch]) == set(ids)
    assert [(await jobs.look(job_id, "ann")).step for job_id in ids] == [3, 1]


async def test_the_newest_preview_is_kept_until_the_job_ends(jobs: Jobs) -> None:
    async def previews() -> list[dict[str, Any]]:
        story = await jobs.events(job.id, "0-0")
        return [event.data for event in story if event.kind == "preview"]

    await submit(jobs)
    job = await claim_one(jobs)
    for step in (1, 2, 3):
        await jobs.renew([report(job, step, f"data:image/png;base64,{step}")])
    await jobs.renew([report(job, 4)])
    assert await previews() == [{"step": 3, "image": "data:image/png;base64,3"}]
    await jobs.finish(job, [PICTURE])
    assert await previews() == []


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


def documented() -> list[re.Pattern[str]]:
    """Return the keys that common.lua lists, as patterns."""
    lines = re.findall(r"^-- ([a-z].*?) +(?:hash|stream|string|zset)", COMMON, re.MULTILINE)
    names = [name for line in lines for name in line.split(", ")]
    return [re.compile(re.sub("[A-Z]+", "(.+)", name)) for name in names]


async def leaks(redis: Redis) -> set[str]:
    """Return keys that are in no list, or that have neither a TTL nor a living owner."""
    found = {str(key).removeprefix("{imagegen}:") for key in await redis.keys()}
    waiting = {str(member) for member in await redis.zrange("{imagegen}:deadlines", 0, -1)}
    alive = waiting | {str(member) for member in await redis.zrange("{imagegen}:leases", 0, -1)}
    owners = set(alive)
    for job_id in alive:
        fields = ("tenant", "idem", "batch")
        of_job: Any = await redis.hmget("{imagegen}:job:" + job_id, fields)
        tenant, idem, batch = of_job
        owners |= {f"{tenant}:{idem}"}
        owners |= {tenant, f"{batch}:{tenant}"} if job_id in waiting else set()
    leaked = set()
    for name in found:
        matches = [match for pattern in documented() if (match := pattern.fullmatch(name))]
        owner = ":".join(matches[0].groups()) if matches else "nobody"
        if owner and owner not in owners and await redis.ttl("{imagegen}:" + name) < 0:
            leaked.add(name)
    return leaked


async def test_every_key_is_listed_and_has_a_living_owner_or_an_end(
    settings: Settings, jobs: Jobs, redis: Redis
) -> None:
    brief = impatient(settings, jobs, result_ttl_seconds=1, lease_seconds=0.0, max_losses=2)
    kinds = [drawing(), drawing(steps=8), drawing(prompt="", ingredients=(Ingredient(weight=1),))]
    for number in range(40):
        key = (f"key{number}", "digest") if number % 2 else ("", "")
        wish = kinds[number % 3]
        late = 1e-6 if number % 10 == 9 else None
        tenant = f"tenant{number % 7}"
        job_id = await submit(
            brief, tenant, drawing=wish, idempotency=key, priority=number % 4, deadline_seconds=late
        )
        if number % 8 == 0:
            await brief.cancel(job_id, tenant)
    assert await leaks(redis) == set()
    await brief.expect_files("ann", "never-submitted")
    done, failed, cancelled, back, *rest = [*await brief.claim(4), *await brief.claim(4)]
    await brief.renew([report(job, 2, "data:image/png;base64,") for job in (done, *rest)])
    await brief.finish(done, [PICTURE])
    await brief.fail(failed, "bad luck")
    await brief.cancel(cancelled.id, cancelled.tenant)
    await brief.release(back)
    assert await leaks(redis) == set()
    while not (await jobs.totals()).jobs["dead"]:
        await brief.claim(1)
        await brief.sweep()
        assert await leaks(redis) == set()

    async def nothing_is_left() -> bool:
        for job in await jobs.claim(4):
            await jobs.finish(job, [PICTURE])
        for expired in await brief.sweep():
            await brief.forget(expired)
        assert await leaks(redis) == set()
        left = [name for name in await redis.keys() if await redis.ttl(name) < 0]
        return all(":" not in str(name).removeprefix("{imagegen}:") for name in left)

    await until(nothing_is_left)
    totals = await jobs.totals()
    assert totals.backlog_pixel_steps == 0
    assert (totals.jobs["waiting"], totals.jobs["painting"]) == (0, 0)
