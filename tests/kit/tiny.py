"""The smallest service: what the kit promises, without any service's own work."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from kit import deadline, logs
from kit.app import Life, Resources, Tenant, build_app, from_lifespan
from kit.batching import Batcher
from kit.errors import ErrorShape, Overloaded
from kit.settings import ServiceSettings
from tests.support import until

Model = Callable[[list[str]], Sequence[str]]


class Words(BaseModel):
    texts: list[str]


class Calls:
    """What the routes saw."""

    def __init__(self) -> None:
        self.started = 0
        self.cancelled = 0


router = APIRouter()
BatcherDep = Annotated[Batcher[str, str], from_lifespan("batcher")]
CallsDep = Annotated[Calls, from_lifespan("calls")]


@router.post("/shout")
async def shout(body: Words, batcher: BatcherDep) -> list[str]:
    return await batcher.submit_many(body.texts)


@router.post("/forever")
async def forever(calls: CallsDep) -> None:
    calls.started += 1
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        calls.cancelled += 1
        raise


@router.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"one\n"
        await asyncio.sleep(0.2)
        yield b"two\n"

    return StreamingResponse(lines())


@router.get("/who")
async def who(tenant: Tenant) -> dict[str, Any]:
    return {"tenant": tenant, **logs.current_ids(), **deadline.outgoing_headers()}


@router.get("/busy")
async def busy() -> None:
    raise Overloaded("Full.", retry_after_seconds=1.25)


@router.delete("/bug")
async def no_bug() -> None:
    """Share a path with another method."""


@router.get("/bug")
async def bug() -> None:
    raise RuntimeError("the secret of the house")


@router.get("/items/{number}")
async def item(number: int) -> int:
    return number


def upper(texts: list[str]) -> Sequence[str]:
    return [text.upper() for text in texts]


def words_in_error(problem: dict[str, Any]) -> dict[str, Any]:
    return {"error": problem["detail"]}


def create_app(
    model: Model = upper,
    *,
    life: Life | None = None,
    error_shapes: Mapping[str, ErrorShape] | None = None,
    **options: Any,
) -> FastAPI:
    @asynccontextmanager
    async def usual(app: FastAPI) -> AsyncGenerator[Resources]:
        batcher: Batcher[str, str] = Batcher(model, metrics=app.state.metrics)
        async with batcher.running(["warm"]):
            yield {"batcher": batcher, "calls": Calls()}

    settings = ServiceSettings(**options)
    return build_app(
        "tiny",
        description="The smallest service.",
        settings=settings,
        routers=[router],
        life=life or usual,
        error_shapes=error_shapes or {"/items": words_in_error},
    )


@asynccontextmanager
async def on_socket(app: FastAPI) -> AsyncGenerator[int]:
    """Run the app in a real server and yield its port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())

    async def is_ready() -> bool:
        return server.started and not await app.state.health.failures()

    await until(is_ready)
    try:
        port: int = server.servers[0].sockets[0].getsockname()[1]
        yield port
    finally:
        server.should_exit = True
        await task
