"""A painter of plain colours, and the services around it."""

import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from services.imagegen import app, worker
from services.imagegen.painters import OnStep
from services.imagegen.schemas import Card, Drawing
from services.imagegen.settings import Settings, WorkerSettings
from tests.support import serve, until

CARD = Card(
    model="plain",
    revision="1",
    backend="test",
    steps=4,
    guidance=4.0,
    negative_prompt="",
    width=64,
    height=64,
)


class PlainPainter:
    """Paints the colour that the prompt and the seed hash to, one short step after the other."""

    def __init__(
        self, step_seconds: float = 0.0, before_step: Callable[[int], None] = lambda _: None
    ) -> None:
        self.card = CARD
        self.step_seconds = step_seconds
        self.before_step = before_step
        self.batches: list[list[Drawing]] = []
        self.last_steps: list[int] = []
        self.sources: list[dict[str, Image.Image]] = []

    def paint(
        self, drawings: Sequence[Drawing], sources: dict[str, Image.Image], on_step: OnStep
    ) -> list[list[Image.Image]]:
        self.batches.append(list(drawings))
        self.sources.append(sources)
        unwanted: set[int] = set()
        steps = max(drawing.steps for drawing in drawings)
        for step in range(1, steps + 1):
            self.before_step(step)
            time.sleep(self.step_seconds)
            unwanted |= set(on_step(step, steps))
            if len(unwanted) == len(drawings):
                break
        self.last_steps.append(step)
        return [[] if n in unwanted else _plain(drawing) for n, drawing in enumerate(drawings)]


def _plain(drawing: Drawing) -> list[Image.Image]:
    colours = [hashlib.sha256(f"{drawing.prompt}{s}".encode()).digest()[:3] for s in drawing.seeds]
    return [Image.new("RGB", (drawing.width, drawing.height), tuple(c)) for c in colours]


def drawing(prompt: str = "a circle", **changes: Any) -> Drawing:
    """Return a small drawing."""
    plain = Drawing(
        prompt=prompt,
        negative_prompt="",
        width=64,
        height=64,
        steps=4,
        guidance=4.0,
        seed=1,
        count=1,
    )
    return plain.model_copy(update=changes)


def settings_for(redis_url: str, folder: Path, **changes: object) -> Settings:
    """Return the API's settings for a test; none waits for the disk unless it says so."""
    given = {"redis_url": redis_url, "storage_url": str(folder), "fsync_wait_ms": 0} | changes
    return Settings(**given)  # type: ignore[arg-type]


@asynccontextmanager
async def working(settings: Settings, painter: PlainPainter) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run a worker in this process and yield a client for its probes."""
    same = WorkerSettings(**settings.model_dump(exclude={"port"}))
    async with serve(worker.create_app(same, painter)) as client:
        yield client


@asynccontextmanager
async def studio(
    settings: Settings, painter: PlainPainter | None = None
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the API with one worker and yield a client for the API."""
    async with (
        working(settings, painter or PlainPainter()),
        serve(app.create_app(settings)) as client,
    ):
        yield client


async def finished(
    client: httpx2.AsyncClient, where: str, tenant: str = "default"
) -> dict[str, Any]:
    """Wait for a job's end and return it."""

    async def final() -> dict[str, Any] | None:
        answer = await client.get(where, headers={"X-Tenant": tenant})
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job if job["status"] in ("done", "failed", "cancelled") else None

    return await until(final)
