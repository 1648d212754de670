"""An open page does not hold up a service that stops."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from kit.health import Health
from services.console.streams import EndsWithService

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
SCOPE: Scope = {"type": "http", "path": "/beat/1"}


begun = asyncio.Event()


async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    begun.set()
    await asyncio.Event().wait()


async def short(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"done"})


async def nothing_more() -> Message:
    return await asyncio.Future()


async def serve(app: EndsWithService, sent: list[Message]) -> None:
    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await app(SCOPE, nothing_more, send)


async def test_an_endless_stream_ends_when_the_service_drains():
    health, sent = Health(), list[Message]()
    health.ready()
    serving = asyncio.create_task(
        serve(EndsWithService(endless, path="/beat/", health=health), sent)
    )
    await begun.wait()
    assert not serving.done()
    health.drain()
    await serving
    assert sent == [START, {"type": "http.response.body", "body": b""}]


async def test_an_answer_that_ends_by_itself_is_left_alone():
    sent = list[Message]()
    await serve(EndsWithService(short, path="/beat/", health=Health()), sent)
    assert sent[-1]["body"] == b"done"
