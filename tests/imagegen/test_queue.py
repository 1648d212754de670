"""The life of a job, against a real Redis."""

import re
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from kit.errors import Conflict, NotFound, NotReady
from services.imagegen.queue import Jobs
from services.imagegen.queue.lua import COMMON
from services.imagegen.settings import Settings
from services.imagegen.values import Ingredient, Status
from tests.imagegen.fakes import CARD, drawing
from tests.imagegen.queueing import PICTURE, claim_one, impatient, report, submit
from tests.support import until


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


async def test_a_key_is_free_again_when_its_job_is_gone(
    settings: Settings, jobs: Jobs, redis: Redis
) -> None:
    brief = impatient(settings, jobs, result_ttl_seconds=1)
    first = await submit(brief, idempotency=("key", "digest"))
    await brief.finish(await claim_one(brief), [PICTURE])

    async def is_gone() -> bool:
        return not await redis.exists(f"{{imagegen}}:job:{first}")

    await until(is_gone)
    assert await submit(brief, idempotency=("key", "other request")) != first


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


async def test_a_batch_holds_only_what_can_be_painted_together(jobs: Jobs) -> None:
    alike = {await submit(jobs, tenant) for tenant in ("ann", "bob", "cid")}
    other = await submit(jobs, "dan", drawing=drawing(width=128))
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
    other = await submit(jobs, "cid", drawing=drawing(width=128))
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


async def test_a_redis_without_memory_takes_no_jobs_and_says_so(jobs: Jobs, redis: Redis) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(NotReady, match="takes no new work"):
            await submit(jobs)
    finally:
        await redis.config_set("maxmemory", 0)
    await submit(jobs)


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
    await jobs.renew([report(job, 4, "data:image/png;base64," + "A" * 200_000)])
    assert [preview["step"] for preview in await previews()] == [3]  # that one was too large
    await jobs.finish(job, [PICTURE])
    assert await previews() == []


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
        if owner and owner not in owners and await redis.ttl("{imagegen}:" + name) == -1:
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
        left = [name for name in await redis.keys() if await redis.ttl(name) == -1]
        return all(":" not in str(name).removeprefix("{imagegen}:") for name in left)

    await until(nothing_is_left)
    totals = await jobs.totals()
    assert totals.backlog_pixel_steps == 0
    assert (totals.jobs["waiting"], totals.jobs["painting"]) == (0, 0)
