"""What a worker does with its jobs while it paints: joining, delivering, running out of memory."""

import base64
import io
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from PIL import Image

from kit.errors import NotReady
from services.imagegen import app
from services.imagegen.painters import OutOfMemory, slots
from services.imagegen.queue import Jobs
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage
from tests.imagegen.fakes import PlainModel, PlainPainter, PlainRow, finished, working
from tests.support import serve, until

LONG: dict[str, Any] = {
    "prompt": "long",
    "steps": 100,
}  # ten seconds at STEP; such a job is cancelled in the end
STEP = 0.1


@asynccontextmanager
async def open_studio(
    settings: Settings, painter: PlainPainter
) -> AsyncGenerator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    """Yield clients of the API and of the worker's probes."""
    async with working(settings, painter) as worker, serve(app.create_app(settings)) as client:
        yield client, worker


async def order(client: httpx2.AsyncClient, tenant: str = "default", **wishes: Any) -> str:
    answer = await client.post("/v1/images", json=wishes, headers={"X-Tenant": tenant})
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Location"])


async def look(client: httpx2.AsyncClient, where: str) -> Any:
    return (await client.get(where)).json()


async def until_step(client: httpx2.AsyncClient, where: str, step: int) -> None:
    async def reached() -> bool:
        return bool((await look(client, where))["progress"]["step"] >= step)

    await until(reached)


async def test_a_job_joins_a_running_batch_and_is_delivered_before_it_ends(
    settings: Settings,
) -> None:
    painter = PlainPainter(STEP)
    async with open_studio(settings, painter) as (client, _):
        long = await order(client, **LONG)
        await until_step(client, long, 1)
        short = await order(client, "bob", prompt="short", steps=2)
        assert (await finished(client, short, "bob"))["status"] == "done"
        assert (await look(client, long))["status"] == "painting"
        await client.delete(long)
    assert {"long", "short"} in [set(prompts) for prompts in painter.model.passes]


async def test_a_cancelled_job_makes_room_for_the_next(settings: Settings) -> None:
    painter = PlainPainter(STEP, slots=2)
    pair = settings.model_copy(update={"batch_pictures": 2})
    async with open_studio(pair, painter) as (client, _):
        first, second, third = [await order(client, **LONG) for _ in range(3)]
        await until_step(client, second, 1)
        assert (await look(client, third))["status"] == "waiting"
        await client.delete(first)
        await until_step(client, third, 1)
        assert (await look(client, second))["status"] == "painting"
        for where in (second, third):
            await client.delete(where)


async def test_a_job_that_cost_a_worker_is_painted_alone(settings: Settings, jobs: Jobs) -> None:
    painter = PlainPainter(0.02)
    async with serve(app.create_app(settings)) as client:
        risky = await order(client, prompt="risky", steps=10)
        [job] = await jobs.claim(1)
        await jobs.release(job, "the device failed.")
        async with working(settings, painter):
            await until_step(client, risky, 1)
            other = await order(client, prompt="other")
            for where in (risky, other):
                assert (await finished(client, where))["status"] == "done"
    assert not any({"risky", "other"} <= set(prompts) for prompts in painter.model.passes)


async def test_a_picture_shows_itself_while_it_is_painted(
    settings: Settings, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "PREVIEW_SECONDS", 0.0)
    async with open_studio(settings, PlainPainter(STEP)) as (client, _):
        where = await order(client, **LONG)

        async def preview() -> dict[str, Any] | None:
            events = await jobs.events(where.rpartition("/")[2], "0-0")
            return next((event.data for event in events if event.kind == "preview"), None)

        seen = await until(preview)
        await client.delete(where)
    kind, _, content = seen["image"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (8, 8)


class Crowded(PlainModel):
    """Has memory for so many pictures of 64x64, or for fewer larger ones."""

    def __init__(self, memory: int) -> None:
        super().__init__()
        self.memory = memory

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        if sum(row.drawing.width * row.drawing.height for row in rows) > self.memory * 64 * 64:
            raise OutOfMemory("too much")
        return super().predict(rows)


async def test_a_full_memory_halves_the_bucket_and_charges_nobody(
    settings: Settings, jobs: Jobs
) -> None:
    model = Crowded(4)
    async with open_studio(settings, PlainPainter(model=model)) as (client, worker):
        model.memory = 2
        places = [await order(client, prompt=f"picture {n}", seed=n) for n in range(3)]
        for where in places:
            job = await finished(client, where)
            assert job["status"] == "done"
            content = (await client.get(job["pictures"][0]["url"])).content
            made = Image.open(io.BytesIO(content)).text  # type: ignore[attr-defined]
            assert json.loads(made["switchboard"])["bucket"] == 2
            losses = await jobs._redis.hget(f"{{imagegen}}:job:{job['id']}", "losses")
            assert losses == "0"
        assert "imagegen_oom_total 1.0" in (await worker.get("/metrics")).text

        async def is_announced() -> bool:
            card = (await worker.get("/info")).json()["model"]
            return bool(card["limits"] == {"bucket_from_4096_pixels": 2})

        await until(is_announced)


async def test_memory_for_large_pictures_does_not_slow_small_ones(settings: Settings) -> None:
    painter = PlainPainter(model=Crowded(4))
    async with open_studio(settings, painter) as (client, _):
        large = await order(client, prompt="large", width=128, height=128)
        huge = await order(client, prompt="huge", width=256, height=128)
        assert (await finished(client, large))["status"] == "done"
        failed = await finished(client, huge)
        small = await order(client, prompt="small")
        assert (await finished(client, small))["status"] == "done"
    assert failed["status"] == "failed"
    assert failed["error"] == (
        "The picture does not fit into the device's memory; ask for a smaller one."
    )
    assert painter.model.passes[-1] == ["small"] * 4
    assert ["large"] in painter.model.passes


async def test_the_start_finds_memorys_limit(settings: Settings) -> None:
    painter = PlainPainter(model=Crowded(1))
    async with open_studio(settings, painter) as (client, _):
        assert (await finished(client, await order(client, prompt="one")))["status"] == "done"
    assert {len(prompts) for prompts in painter.model.passes} == {1}


async def test_painting_goes_on_while_the_storage_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, is_away = Storage.put, True

    async def put_later(storage: Storage, path: str, content: bytes) -> None:
        if is_away:
            raise NotReady("The picture storage cannot be reached. Try again soon.")
        await put(storage, path, content)

    monkeypatch.setattr(Storage, "put", put_later)
    monkeypatch.setattr("services.imagegen.delivery.RETRY_SECONDS", 0.05)
    painter = PlainPainter()
    async with open_studio(settings, painter) as (client, _):
        places = [await order(client, prompt=f"picture {n}") for n in range(12)]

        async def kept() -> bool:
            jobs = [await look(client, where) for where in places]
            return bool(sum(job["progress"]["step"] == 4 for job in jobs) >= 8)

        await until(kept)
        statuses = {(await look(client, where))["status"] for where in places[-2:]}
        assert statuses == {"waiting"}  # no more than two batches are kept
        is_away = False
        for where in places:
            assert (await finished(client, where))["status"] == "done"


async def test_a_workers_time_is_counted(settings: Settings) -> None:
    async with open_studio(settings, PlainPainter(0.01)) as (client, worker):
        for count in (1, 3):
            where = await order(client, prompt="a boat", count=count)
            assert (await finished(client, where))["status"] == "done"
        metrics = (await worker.get("/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    busy, images = (
        float(values[name])
        for name in ("imagegen_gpu_busy_seconds_total", "imagegen_image_seconds_sum")
    )
    assert values["imagegen_step_seconds_count"] == "8.0"
    assert values["imagegen_image_seconds_count"] == "4.0"
    assert values["imagegen_queue_wait_seconds_count"] == "2.0"
    assert values["switchboard_batch_items_sum"] == "16.0"
    assert values["switchboard_wasted_inference_seconds_total"] == "0.0"
    assert busy == pytest.approx(images)
    assert busy >= 0.08
