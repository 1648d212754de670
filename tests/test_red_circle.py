"""One picture through the whole system in one process: gateway, API, Redis, worker, storage."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import HttpUrl

from services.gateway import app as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.imagegen import app as imagegen
from services.imagegen import worker
from services.imagegen.settings import Settings as ImagegenSettings
from services.imagegen.settings import WorkerSettings
from tests.support import Network, serve

MODELS = Path(".models")


@pytest.mark.weights
async def test_the_wish_for_a_red_circle_ends_as_a_red_circle(redis_url: str, tmp_path: Path):
    shared: dict[str, Any] = {
        "redis_url": redis_url,
        "storage_url": f"file://{tmp_path}",
        "models_dir": MODELS,
    }
    api = imagegen.create_app(ImagegenSettings(**shared))
    painting = worker.create_app(WorkerSettings(**shared))
    door = gateway.create_app(
        GatewaySettings(imagegen_url=HttpUrl("http://imagegen"), models_dir=MODELS),
        transport=Network({"imagegen": api}),
    )
    async with serve(painting), serve(api), serve(door) as client:
        answer = await client.post(
            "/v1/assist", json={"text": "draw a red circle"}, headers={"Prefer": "wait=60"}
        )
        assert answer.status_code == 200, answer.text
        (picture,) = answer.json()["output"]["pictures"]
        png = await client.get(picture["url"])
    red, green, blue = middle(png.content)
    assert red > 150 > max(green, blue)


def middle(png: bytes) -> tuple[int, int, int]:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    red, green, blue = (int(value) for value in pixel)
    return red, green, blue
