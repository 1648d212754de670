"""What the tests of the queue do over and over: submit, claim, report, and kill its Redis."""

import asyncio
import os
import subprocess
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from local import redis as redis_server
from services.imagegen.queue import Jobs, connect
from services.imagegen.queue.lua import COMMON, FOLDER, PREFIX
from services.imagegen.settings import Settings
from services.imagegen.values import Job, Report, StoredPicture
from tests.imagegen.fakes import CARD, drawing, settings_for
from tests.support import until

PICTURE = StoredPicture(path="p/1/0.png", seed=1, width=64, height=64, sha256="00")
RATE = 64.0 * 64 * 4  # one plain drawing per second


async def submit(jobs: Jobs, tenant: str = "ann", **options: Any) -> str:
    """Queue a drawing and return the job's id."""
    wish = options.pop("drawing", drawing())
    return (await jobs.submit(_new_id(), tenant, wish, card=CARD, **options)).id


async def fill(redis: Redis, tenants: Sequence[str]) -> None:
    """Queue a small drawing for each of the tenants: submit.lua again and again, in few calls."""
    body = (FOLDER / "submit.lua").read_text()
    wish = drawing()
    parts: list[str | int | float] = [
        "",
        "",
        wish.model_dump_json(),
        "",
        CARD.batch_key(wish),
        CARD.pixel_steps(wish),
    ]
    rest: list[str | int | float] = [1, 0, 3600, 3600_000, 3600, 1e9, 1e9, "", ""]
    many = f"""{COMMON}
        local function submit(ARGV) {body} end
        for i = 16, #ARGV, 2 do submit({{ARGV[i], ARGV[i + 1], unpack(ARGV, 1, 15)}}) end"""
    for first in range(0, len(tenants), 500):
        names = [part for tenant in tenants[first : first + 500] for part in (_new_id(), tenant)]
        await redis.eval(many, 1, PREFIX, *parts, *rest, *names)


def _new_id() -> str:
    return uuid.uuid4().hex


async def claim_one(jobs: Jobs) -> Job:
    """Claim the job that is next."""
    [job] = await jobs.claim(1)
    return job


def report(job: Job, step: int, preview: str | None = None) -> Report:
    """Say how far a job of four steps is."""
    return Report(job=job, step=step, steps=4, preview=preview)


def impatient(settings: Settings, jobs: Jobs, **changes: Any) -> Jobs:
    """Return the same queue with other settings."""
    return Jobs(jobs._redis, settings.model_copy(update=changes))


class OwnRedis:
    """A durable server of this test's own, to be killed and started again."""

    def __init__(self, folder: Path, program: str = "", **environment: str) -> None:
        folder.mkdir()
        self.url = f"unix://{folder / 'redis.sock'}"
        self._command = redis_server.command(folder, socket=folder / "redis.sock")
        self._command[0] = program or self._command[0]
        self.environment = environment
        self.start()

    def start(self) -> None:
        """Start it; it answers a little later."""
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, env=os.environ | self.environment
        )

    def kill(self) -> None:
        """Stop it as a crash would."""
        self.process.kill()
        self.process.wait()


@asynccontextmanager
async def own_queue(server: OwnRedis, tmp_path: Path, **changes: Any) -> AsyncGenerator[Jobs]:
    """Yield the queue of a server that this test may kill, with the fake model's card in it."""
    settings = settings_for(server.url, tmp_path / "pictures", **changes)
    try:
        async with connect(server.url) as client:
            jobs = Jobs(client, settings)
            await until(lambda: answers(jobs))
            await jobs.report("test", CARD, 0.0)
            yield jobs
    finally:
        await asyncio.to_thread(server.kill)


async def is_written(jobs: Jobs) -> bool:
    """Tell whether Redis, killed now, would lose nothing."""
    state = await jobs._redis.info("persistence")
    return not state["aof_buffer_length"]


async def answers(jobs: Jobs) -> bool:
    """Tell whether Redis is there and has loaded its data."""
    try:
        await jobs.totals()
    except Exception:  # noqa: BLE001 - refused, reset or still loading: all mean not yet
        return False
    return True
