"""The console's client before the real gateway, whose services are scripted."""

import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2
from fastapi import FastAPI
from PIL import Image
from starlette.responses import JSONResponse, Response

from services.console.client import Gateway
from services.console.painting import Painting
from services.console.schemas import Turn
from tests.gateway.support import FixedRouter, Scripted, gateway
from tests.support import serve

JOB_ID = "0123456789abcdef0123456789abcdef"
PICTURE = {
    "url": f"/v1/images/{JOB_ID}/pictures/0",
    "seed": 7,
    "width": 64,
    "height": 64,
    "sha256": "0" * 64,
}
WAITING: dict[str, Any] = {
    "id": JOB_ID,
    "status": "waiting",
    "position": 2,
    "eta_seconds": 4.0,
    "progress": {"step": 0, "steps": 4},
    "pictures": [],
    "warnings": [],
    "error": None,
}
DONE = WAITING | {
    "status": "done",
    "position": None,
    "eta_seconds": None,
    "progress": {"step": 4, "steps": 4},
    "pictures": [PICTURE],
    "warnings": ["This model knows no zebras."],
}
EVENTS = (
    'event: painting\ndata: {"worker": "w"}\n\n'
    'event: progress\ndata: {"step": 1, "steps": 4}\n\n'
    'event: preview\ndata: {"step": 1, "image": "data:image/jpeg;base64,AAAA"}\n\n'
    'event: progress\ndata: {"step": 4, "steps": 4}\n\n'
)


class HasApp(Protocol):
    """A service that a test made up."""

    @property
    def app(self) -> FastAPI:
        """Return what answers."""
        ...


@asynccontextmanager
async def before(
    services: Mapping[str, HasApp], router: FixedRouter | None = None, **settings: Any
) -> AsyncGenerator[Gateway]:
    """Yield a client of a real gateway in this process; a service not given cannot be reached."""
    app: FastAPI = gateway(router, {name: one.app for name, one in services.items()}, **settings)
    async with serve(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with Gateway(
            "http://gateway", wish_seconds=30, look_seconds=10, transport=transport
        ) as client:
            yield client


def painter(job: Mapping[str, Any] = DONE) -> Scripted:
    """Return a picture service whose one job ends like this."""
    place = f"/v1/images/{JOB_ID}"
    return Scripted(
        {
            "POST /v1/images": lambda: JSONResponse(WAITING, 202),
            "POST /v1/blends": lambda: JSONResponse(WAITING, 202),
            f"GET {place}": dict(job),
            f"GET {place}/events": lambda: Response(
                EVENTS + _event(job), media_type="text/event-stream"
            ),
            f"DELETE {place}": dict(job),
            f"GET {place}/pictures/0": lambda: Response(png(), media_type="image/png"),
        }
    )


def _event(job: Mapping[str, Any]) -> str:
    return f"event: {job['status']}\ndata: {json.dumps(job)}\n\n"


def png(colour: str = "red") -> bytes:
    """Return a small picture."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(out, "PNG")
    return out.getvalue()


async def last_of(progress: AsyncIterator[tuple[Turn, Painting | None]]) -> Turn:
    """Return the complete turn."""
    turns = [turn async for turn, _ in progress]
    return turns[-1]
