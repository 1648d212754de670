"""What the kit costs per request: `python -m benchmarks.overhead`.

The same tiny route on bare Starlette, on bare FastAPI, on the kit, and on the kit behind a batcher, with a model that does nothing.
All in one process, called as a server would call them, in interleaved rounds; once one request at a time, once 32 side
by side. The figure is processor time, threads included: unlike milliseconds it holds on a machine that others use too.
Writes results/overhead.json.
"""

import argparse
import asyncio
import gc
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import uvloop
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from benchmarks.setting import RESULTS, record
from kit.app import Resources, build_app, from_lifespan
from kit.batching import Batcher
from kit.settings import ServiceSettings

ROUNDS = 30
REQUESTS = 320  # per application and round
SIDE_BY_SIDE = 32
BODY = b'{"texts": ["Thank you so much, this made my day!"]}'
HEADERS = [
    (b"host", b"127.0.0.1:8001"),
    (b"accept", b"*/*"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


class Words(BaseModel):
    """What each of the routes reads."""

    texts: list[str]


def upper(texts: Sequence[str]) -> list[str]:
    """Stand in for a model: costs next to nothing."""
    return [text.upper() for text in texts]


def starlette() -> ASGIApp:
    """Build the least that can answer: no validation, no documentation."""

    async def shout(request: Request) -> JSONResponse:
        return JSONResponse(upper((await request.json())["texts"]))

    return Starlette(routes=[Route("/shout", shout, methods=["POST"])])


def fastapi() -> ASGIApp:
    """Build what most services are: FastAPI with a validated body."""
    app = FastAPI()

    @app.post("/shout")
    async def shout(body: Words) -> list[str]:
        return upper(body.texts)

    return app


def kit_direct() -> ASGIApp:
    """Build a service of the kit whose route calls the model itself."""
    router = APIRouter()

    @router.post("/shout")
    async def shout(body: Words) -> list[str]:
        return upper(body.texts)

    return _kit(router)


def kit_batched() -> ASGIApp:
    """Build a service of the kit whose route goes through a batcher."""
    router = APIRouter()

    @router.post("/shout")
    async def shout(
        body: Words, batcher: Annotated[Batcher[str, str], from_lifespan("batcher")]
    ) -> list[str]:
        return await batcher.submit_many(body.texts)

    return _kit(router)


def _kit(router: APIRouter) -> FastAPI:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        batcher: Batcher[str, str] = Batcher(upper, metrics=app.state.metrics)
        async with batcher.running(["warm"]):
            yield {"batcher": batcher}

    settings = ServiceSettings()
    return build_app("tiny", description="", settings=settings, routers=[router], life=life)


APPLICATIONS: dict[str, Callable[[], ASGIApp]] = {
    "starlette": starlette,
    "fastapi": fastapi,
    "kit_direct": kit_direct,
    "kit_batched": kit_batched,
}


async def request(app: ASGIApp) -> None:
    """Send one request as uvicorn would, from a client that stays until it has the answer."""
    sent: list[Message] = []
    given = [{"type": "http.request", "body": BODY, "more_body": False}]
    over = asyncio.Event()

    async def receive() -> Message:
        if given:
            return given.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(), receive, send)
    assert sent[0]["status"] == 200, sent


def _scope() -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/shout",
        "raw_path": b"/shout",
        "root_path": "",
        "query_string": b"",
        "headers": list(HEADERS),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8001),
        "state": {},
    }


async def one_by_one(app: ASGIApp) -> None:
    """Send the requests of a round, each after the answer to the one before, as tasks of their own."""
    for _ in range(REQUESTS):
        await asyncio.create_task(request(app))


async def together(app: ASGIApp) -> None:
    """Send the requests of a round in groups."""
    for _ in range(REQUESTS // SIDE_BY_SIDE):
        await asyncio.gather(*(request(app) for _ in range(SIDE_BY_SIDE)))


async def cpu_us(load: Callable[[ASGIApp], Awaitable[None]], app: ASGIApp) -> float:
    """Return the processor time of one request in microseconds."""
    gc.collect()
    started = time.process_time()
    await load(app)
    return (time.process_time() - started) / REQUESTS * 1e6


async def measure(rounds: int) -> dict[str, Any]:
    """Time all applications under both loads, every one in every round."""
    async with AsyncExitStack() as stack:
        apps: dict[str, ASGIApp] = {}
        for name, build in APPLICATIONS.items():
            managed = await stack.enter_async_context(LifespanManager(build()))
            apps[name] = managed.app
            await _until_ready(managed.app)
        return {load.__name__: await _rounds(load, apps, rounds) for load in (one_by_one, together)}


async def _until_ready(app: ASGIApp) -> None:
    while True:
        try:
            await request(app)
        except AssertionError:  # a service of the kit starts behind its probes
            await asyncio.sleep(0.01)
        else:
            return


async def _rounds(
    load: Callable[[ASGIApp], Awaitable[None]], apps: dict[str, ASGIApp], rounds: int
) -> dict[str, Any]:
    for app in apps.values():
        await load(app)
    found = [{name: await cpu_us(load, app) for name, app in apps.items()} for _ in range(rounds)]
    return {
        name: {
            "cpu_us": round(median(one[name] for one in found), 1),
            "to_fastapi": round(median(one[name] / one["fastapi"] for one in found), 2),
        }
        for name in apps
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "overhead.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    before = os.getloadavg()
    results = uvloop.run(measure(given.rounds))
    load = {"before": before, "after": os.getloadavg()}
    record(given.out, results, load_average=load, rounds=given.rounds, requests=REQUESTS)
    print("load average", load)
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
