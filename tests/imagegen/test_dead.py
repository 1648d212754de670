"""The command that lists, replays and drops given-up jobs, against a real Redis."""

import os
import subprocess
import sys

import anyio.to_thread
import pytest
from redis.asyncio import Redis

from services.imagegen.dead import run
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.values import Status
from tests.imagegen.queueing import PICTURE, claim_one, impatient, submit


@pytest.fixture
async def dead(settings: Settings, jobs: Jobs) -> list[str]:
    """Return the ids of two given-up jobs of the tenant ann."""
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    ids = [await submit(jobs, idempotency=(f"key{number}", "digest")) for number in range(2)]
    for _ in range(3):
        await hasty.claim(8)
        await hasty.claim(8)  # a job that cost a worker is painted alone
        await hasty.sweep()
    return ids


async def test_the_list_says_whose_they_were_and_why(settings: Settings, dead: list[str]) -> None:
    lines = await run(["list"], settings)
    assert sorted(line.partition(" ")[0] for line in lines) == sorted(dead)
    for line in lines:
        assert "  ann  Given up after 3 attempts: " in line
        assert line.endswith("'a circle'")


async def test_a_replayed_job_waits_again_and_can_be_done(
    settings: Settings, jobs: Jobs, redis: Redis, dead: list[str]
) -> None:
    first, other = dead
    assert await run(["replay", first], settings) == [f"replayed {first}"]
    seen = await jobs.look(first, "ann")
    assert (seen.status, seen.error, seen.position) == (Status.WAITING, None, 1)
    assert [event.kind for event in await jobs.events(first, "0-0")] == ["waiting"]
    assert await redis.ttl(f"{{imagegen}}:job:{first}") == -1
    assert await submit(jobs, idempotency=("key0", "digest")) == first
    assert [line.partition(" ")[0] for line in await run(["list"], settings)] == [other]
    assert await jobs.finish(await claim_one(jobs), [PICTURE])
    totals = await jobs.totals()
    assert (totals.jobs["done"], totals.jobs["failed"], totals.jobs["dead"]) == (1, 1, 1)


async def test_a_replayed_job_has_all_its_chances_again(
    settings: Settings, jobs: Jobs, dead: list[str]
) -> None:
    await run(["replay", "--all"], settings)
    hasty = impatient(settings, jobs, lease_seconds=0.0)
    for _ in range(2):
        await hasty.claim(8)
        await hasty.claim(8)
        await hasty.sweep()
    for job_id in dead:
        assert (await jobs.look(job_id, "ann")).status is Status.WAITING


async def test_a_dropped_job_stays_failed_and_is_no_dead_letter(
    settings: Settings, jobs: Jobs, redis: Redis, dead: list[str]
) -> None:
    await run(["drop", "--all"], settings)
    assert await run(["list"], settings) == []
    for job_id in dead:
        assert (await jobs.look(job_id, "ann")).status is Status.FAILED
        assert 0 < await redis.ttl(f"{{imagegen}}:job:{job_id}") <= settings.result_ttl_seconds


@pytest.mark.parametrize("action", ["replay", "drop"])
async def test_what_is_not_dead_is_left_alone(settings: Settings, jobs: Jobs, action: str) -> None:
    job_id = await submit(jobs)
    with pytest.raises(SystemExit, match="Not among the dead letters: .*unknown"):
        await run([action, job_id, "unknown"], settings)
    assert (await jobs.totals()).jobs["waiting"] == 1


async def test_the_command_prints_and_fails_like_one(settings: Settings, dead: list[str]) -> None:
    listed = await command("list", settings.redis_url)
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, len(dead))
    away = await command("list", "unix:///nowhere.sock")
    assert (away.returncode, away.stdout) == (1, "")
    assert "cannot be reached" in away.stderr


async def command(action: str, redis_url: str) -> subprocess.CompletedProcess[str]:
    """Run it as a person does."""
    words = [sys.executable, "-m", "services.imagegen.dead", action]
    environment = os.environ | {"IMAGEGEN_REDIS_URL": redis_url}

    def call() -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    return await anyio.to_thread.run_sync(call)
