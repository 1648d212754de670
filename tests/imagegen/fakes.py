"""A painter of plain colours, and the services around it."""

import hashlib
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
from PIL import Image

from services.imagegen import app, worker
from services.imagegen.painters import Change, Painted, Painter, Sources, Step
from services.imagegen.painters.easel import Easel
from services.imagegen.settings import Settings, WorkerSettings
from services.imagegen.values import Card, Drawing
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


class PlainRow:
    """A picture of one colour."""

    def __init__(self, drawing: Drawing, seed: int) -> None:
        self.drawing = drawing
        self.seed = seed
        self.step = 0

    @property
    def steps_left(self) -> int:
        return self.drawing.steps - self.drawing.first_step - self.step

    def advance(self, noise: None) -> None:  # noqa: ARG002
        self.step += 1


class PlainModel:
    """Paints the colour that the prompt and the seed hash to, one short step after the other."""

    card = CARD

    def __init__(self, step_seconds: float = 0.0) -> None:
        self.step_seconds = step_seconds
        self.passes: list[list[str]] = []  # the prompts of each
        self.prepared: list[tuple[Drawing, Sources]] = []

    def prepare(self, drawing: Drawing, seed: int, sources: Sources) -> PlainRow:
        self.prepared.append((drawing, sources))
        return PlainRow(drawing, seed)

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        self.passes.append([row.drawing.prompt for row in rows])
        time.sleep(self.step_seconds)
        return [None] * len(rows)

    def decode(self, row: PlainRow, is_tiled: bool) -> Image.Image:  # noqa: ARG002
        colour = hashlib.sha256(f"{row.drawing.prompt}{row.seed}".encode()).digest()[:3]
        return Image.new("RGB", (row.drawing.width, row.drawing.height), tuple(colour))

    def preview(self, row: PlainRow) -> Image.Image:
        return self.decode(row, False).resize((8, 8))


class PlainPainter(Easel[PlainRow]):
    """The engine with the plain model on it."""

    model: PlainModel

    def __init__(
        self, step_seconds: float = 0.0, *, model: PlainModel | None = None, slots: int = 4
    ) -> None:
        super().__init__(model or PlainModel(step_seconds), slots)


def bytes_of(painted: Painted) -> list[bytes]:
    """Return the pixels of a drawing's pictures."""
    return [picture.tobytes() for picture in painted.pictures]


def perform(
    painter: Painter,
    first: Sequence[Drawing],
    joining: Mapping[int, Sequence[Drawing]] = MappingProxyType({}),
    leaving: Mapping[int, Collection[int]] = MappingProxyType({}),
) -> Step:
    """Paint while drawings join and leave after the given steps; return all that ended."""
    ends = Step()
    steps = 0

    def on_step(step: Step) -> Change:
        nonlocal steps
        steps += 1
        ends.finished.update(step.finished)
        ends.failed.update(step.failed)
        return Change(leaving.get(steps, ()), joining.get(steps, ()))

    painter.paint(first, {}, on_step)
    return ends


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
async def working(settings: Settings, painter: Painter) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run a worker in this process and yield a client for its probes."""
    same = WorkerSettings(**settings.model_dump(exclude={"port"}))
    async with serve(worker.create_app(same, painter)) as client:
        yield client


@asynccontextmanager
async def studio(
    settings: Settings, painter: Painter | None = None
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
