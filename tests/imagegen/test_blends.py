"""Blends from the request to the file, with both kinds of painters loaded as the worker loads them."""

import base64
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from services.imagegen import app, worker
from services.imagegen.settings import Settings, WorkerSettings
from tests.imagegen import small_kandinsky, small_sdxl
from tests.imagegen.fakes import finished
from tests.support import serve


def picture(colour: str, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 32), colour).save(buffer, kind, lossless=True)
    return base64.b64encode(buffer.getvalue()).decode()


BOAT: dict[str, Any] = {"text": "a boat", "weight": 2}
CIRCLE: dict[str, Any] = {"text": "a red circle", "weight": 1}
RED: dict[str, Any] = {"data": picture("red"), "weight": 0.5}
BLUE: dict[str, Any] = {"data": picture("blue"), "weight": 1}
SAME = {
    "as asked": [BOAT, CIRCLE, RED, BLUE],
    "backwards": [BLUE, RED, CIRCLE, BOAT],
    "mixed up": [RED, BOAT, BLUE, CIRCLE],
    "other weights of the same proportion": [
        {**source, "weight": round(source["weight"] * 0.3, 2)}
        for source in (BOAT, CIRCLE, RED, BLUE)
    ],
    "one in two parts": [{**BOAT, "weight": 1.5}, CIRCLE, RED, BLUE, {**BOAT, "weight": 0.5}],
    "another file of the same picture": [
        *(BOAT, CIRCLE, BLUE),
        {**RED, "data": picture("red", "WEBP")},
    ],
}


@pytest.fixture(scope="module", params=[small_sdxl, small_kandinsky], ids=["sdxl", "kandinsky"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved: Path = request.param.save(tmp_path_factory.mktemp("model"))
    return saved


@asynccontextmanager
async def painting(settings: Settings, folder: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the API and a worker that loads the model of a folder."""
    same = settings.model_dump(exclude={"port", "model", "device"})
    works = worker.create_app(WorkerSettings(**same, model=f"path:{folder}", device="cpu"))
    async with serve(works), serve(app.create_app(settings)) as client:
        yield client


async def painted(client: httpx2.AsyncClient, path: str, **body: Any) -> str:
    """Return the digest of the file that comes of a request."""
    return str((await picture_of(client, path, **body))["sha256"])


async def pixels(client: httpx2.AsyncClient, path: str, **body: Any) -> bytes:
    """Return what the picture of a request shows, whatever its file says of its making."""
    found = await picture_of(client, path, **body)
    file = await client.get(found["url"])
    return Image.open(io.BytesIO(file.content)).tobytes()


async def picture_of(client: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Return the first picture of a request's job."""
    accepted = await client.post(path, json={"seed": 7, "steps": 2, **body})
    assert accepted.status_code == 202, accepted.text
    job = await finished(client, accepted.headers["Location"])
    assert job["status"] == "done", job["error"]
    first: dict[str, Any] = job["pictures"][0]
    return first


async def test_the_same_sources_give_the_same_file(settings: Settings, folder: Path) -> None:
    async with painting(settings, folder) as client:
        files = {name: await painted(client, "/v1/blends", sources=s) for name, s in SAME.items()}
        assert files == dict.fromkeys(SAME, files["as asked"])
        other = await painted(client, "/v1/blends", sources=[BOAT, CIRCLE, RED, BLUE, BLUE])
        assert other != files["as asked"]


async def test_a_blend_of_one_text_shows_its_prompt(settings: Settings, folder: Path) -> None:
    async with painting(settings, folder) as client:
        prompt = await pixels(client, "/v1/images", prompt="a boat")
        for sources in ([BOAT], [BOAT, BOAT]):
            assert await pixels(client, "/v1/blends", sources=sources) == prompt


async def test_what_kandinsky_cannot_do_is_refused_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    async with painting(settings, small_kandinsky.save(tmp_path)) as client:
        for wish, complaint in (
            ({"scheduler": "euler"}, "`scheduler` must be left out"),
            ({"strength": 0.5}, "`strength`"),
            ({"width": 72}, "multiples of 64"),
        ):
            answer = await client.post("/v1/blends", json={"sources": [RED], **wish})
            assert answer.status_code == 422, answer.text
            assert complaint in answer.json()["detail"]
        assert await painted(client, "/v1/blends", sources=[RED], negative_prompt="a boat")
