"""What happens to jobs when real worker processes are killed, stopped and frozen."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from services.imagegen import app
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.values import Status
from tests.imagegen.fakes import PlainModel, PlainPainter, finished, settings_for, studio, working
from tests.support import serve, until

LEASE_SECONDS = 1.0
JOB = {"prompt": "a red circle", "steps": 20, "seed": 7}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def settings(settings: Settings) -> Settings:
    """Shorten the lease."""
    return settings.model_copy(update={"lease_seconds": LEASE_SECONDS})


@contextmanager
def process(
    settings: Settings, step_seconds: float, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker as a process of its own."""
    environment = os.environ | {
        "IMAGEGEN_REDIS_URL": settings.redis_url,
        "IMAGEGEN_STORAGE_URL": settings.storage_url,
        "IMAGEGEN_LEASE_SECONDS": str(settings.lease_seconds),
        "IMAGEGEN_WORKER_PORT": "0",
        "STEP_SECONDS": str(step_seconds),
        **more,
    }
    command = [sys.executable, "-m", "tests.imagegen.slow_worker"]
    worker = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def stored(folder: Path) -> list[Path]:
    """Return the pictures in the storage; others may be deleting them."""
    return [Path(where) / name for where, _, names in os.walk(folder) for name in names]


async def until_painting(client: httpx2.AsyncClient, where: str) -> None:
    """Wait until a worker has done a step of the job."""

    async def has_begun() -> bool:
        return bool((await client.get(where)).json()["progress"]["step"] >= 1)

    await until(has_begun)


async def test_an_acknowledged_job_survives_the_kill_of_its_worker(settings: Settings) -> None:
    with process(settings, step_seconds=0.3) as doomed:
        async with serve(app.create_app(settings)) as client:
            where = (await client.post("/v1/images", json=JOB)).headers["Location"]
            await until_painting(client, where)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
            async with working(settings, PlainPainter()):
                job = await finished(client, where)
            assert job["status"] == "done"
            assert (await client.get(job["pictures"][0]["url"])).status_code == 200


async def test_a_frozen_worker_that_wakes_up_changes_nothing(
    settings: Settings, jobs: Jobs
) -> None:
    with process(settings, step_seconds=0.1) as frozen:
        async with serve(app.create_app(settings)) as client:
            where = (await client.post("/v1/images", json=JOB)).headers["Location"]
            await until_painting(client, where)
            frozen.send_signal(signal.SIGSTOP)
            async with working(settings, PlainPainter()):
                job = await finished(client, where)
            frozen.send_signal(signal.SIGCONT)
            # It serves the next job, so it has got over the one that it lost.
            following = await client.post("/v1/images", json=JOB)
            assert (await finished(client, following.headers["Location"]))["status"] == "done"
            assert (await client.get(where)).json() == job
            seen = await jobs.look(job["id"], "default")
            assert seen.generation == 2
            assert all("/2/" in picture.path for picture in seen.pictures)


async def test_a_worker_told_to_stop_hands_its_job_back(settings: Settings, jobs: Jobs) -> None:
    with process(settings, step_seconds=0.1) as worker:
        async with serve(app.create_app(settings)) as client:
            where = (await client.post("/v1/images", json=JOB)).headers["Location"]
            await until_painting(client, where)
            worker.send_signal(signal.SIGTERM)

            async def has_ended() -> bool:
                return worker.poll() is not None

            await until(has_ended)
            assert worker.returncode in (0, -signal.SIGTERM)
            job = await jobs.look(where.rpartition("/")[2], "default")
            assert job.status is Status.WAITING
            assert await jobs._redis.hget("{imagegen}:job:" + job.id, "losses") == "0"


async def test_a_worker_ends_with_its_device_and_the_job_is_charged(
    settings: Settings, jobs: Jobs
) -> None:
    with process(settings, 0.01, FAULTY="1") as worker:
        async with serve(app.create_app(settings)) as client:
            where = (await client.post("/v1/images", json=JOB)).headers["Location"]

            async def has_ended() -> bool:
                return worker.poll() is not None

            await until(has_ended)
            assert worker.returncode == 1
            job = await jobs.look(where.rpartition("/")[2], "default")
            assert await jobs._redis.hget("{imagegen}:job:" + job.id, "losses") == "1"
            async with working(settings, PlainPainter()):
                assert (await finished(client, where))["status"] == "done"


@pytest.mark.usefixtures("jobs")
async def test_one_failing_job_fails_alone(settings: Settings) -> None:
    class Picky(PlainModel):
        def prepare(self, drawing, seed, sources):
            if drawing.prompt == "poison":
                raise ValueError("secret internals")
            return super().prepare(drawing, seed, sources)

    async with serve(app.create_app(settings)) as client:
        places = [
            (await client.post("/v1/images", json={"prompt": prompt})).headers["Location"]
            for prompt in ("a boat", "poison", "a tree")
        ]
        async with working(settings, PlainPainter(model=Picky())) as worker:
            ends = [await finished(client, where) for where in places]
            metrics = (await worker.get("/metrics")).text
    assert [job["status"] for job in ends] == ["done", "failed", "done"]
    assert ends[1]["error"] == "The painter failed on this request."
    assert "imagegen_image_seconds_count 2.0" in metrics


@pytest.mark.usefixtures("jobs")
async def test_tenants_share_a_batch(settings: Settings) -> None:
    painter = PlainPainter()
    async with serve(app.create_app(settings)) as client:
        places = {}
        for tenant in ("ann", "bob", "cid"):
            order = JOB | {"prompt": tenant}
            answer = await client.post("/v1/images", json=order, headers={"X-Tenant": tenant})
            places[tenant] = answer.headers["Location"]
        async with working(settings, painter):
            for tenant, where in places.items():
                assert (await finished(client, where, tenant))["status"] == "done"
    assert set(painter.model.passes[-1]) == {"ann", "bob", "cid"}


@pytest.mark.usefixtures("jobs")
async def test_expired_pictures_are_deleted(redis_url: str, tmp_path: Path) -> None:
    brief = settings_for(redis_url, tmp_path, result_ttl_seconds=1, lease_seconds=LEASE_SECONDS)
    async with studio(brief) as client:
        where = (await client.post("/v1/images", json=JOB)).headers["Location"]
        job = await finished(client, where)
        assert stored(tmp_path)

        async def is_gone() -> bool:
            return not stored(tmp_path)

        await until(is_gone)
        assert (await client.get(job["pictures"][0]["url"])).status_code == 404
