"""Clients that hang up, on real sockets: what they asked for is not computed, and is counted."""

import asyncio
import json
import threading
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

from tests.kit import tiny
from tests.support import until


class Gated:
    """A model that waits while its gate is closed, and remembers what it was given."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.seen: list[str] = []

    def __call__(self, texts: list[str]) -> Sequence[str]:
        self.gate.wait()
        self.seen.extend(texts)
        return [text.upper() for text in texts]


class Client:
    """One connection that asks for one text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def asking(cls, port: int, text: str) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        body = json.dumps({"texts": [text]}).encode()
        head = f"POST /shout HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        client._writer.write(head.encode() + body)
        return client

    def hang_up(self) -> None:
        self._writer.transport.abort()

    async def answer(self) -> str:
        response = (await self._reader.read()).decode()
        self._writer.close()
        return response.partition("\r\n\r\n")[2]


def _counted(app: FastAPI, name: str, **labels: str) -> float:
    return app.state.metrics.registry.get_sample_value(name, labels) or 0.0


async def test_what_a_client_waits_for_is_not_computed_when_it_hangs_up():
    model = Gated()
    app = tiny.create_app(model)
    async with tiny.on_socket(app) as port:
        waiting = app.state.resources["batcher"]._waiting
        model.gate.clear()
        plug = await Client.asking(port, "plug")
        await until(lambda: _is(lambda: app.state.resources["batcher"]._engine.took > 0))
        clients = {name: await Client.asking(port, name) for name in "abcdefghij"}
        await until(lambda: _is(lambda: len(waiting) == 10))
        for name in "bdfhij":
            clients.pop(name).hang_up()
        await until(lambda: _is(lambda: _counted(app, "switchboard_abandoned_total") == 6))
        assert len(waiting) == 4  # they have left the queue, though the model is still busy
        model.gate.set()
        answers = {name: json.loads(await client.answer()) for name, client in clients.items()}
        await plug.answer()
    assert answers == {name: [name.upper()] for name in "aceg"}
    assert sorted(text for text in model.seen if len(text) == 1) == list("aceg")
    dropped = _counted(app, "switchboard_dropped_items_total", reason="abandoned")
    assert dropped == 6
    labels = {"service": "tiny", "route": "/shout", "method": "POST"}
    assert _counted(app, "switchboard_http_requests_total", **labels, status="499") == 6
    assert _counted(app, "switchboard_http_requests_total", **labels, status="200") == 5


async def test_the_model_time_of_a_client_who_hangs_up_too_late_is_counted_as_wasted():
    model = Gated()
    app = tiny.create_app(model)
    async with tiny.on_socket(app) as port:
        model.gate.clear()
        client = await Client.asking(port, "late")
        await until(lambda: _is(lambda: app.state.resources["batcher"]._engine.took > 0))
        client.hang_up()
        await until(lambda: _is(lambda: _counted(app, "switchboard_abandoned_total") == 1))
        model.gate.set()
        name = "switchboard_wasted_inference_seconds_total"
        await until(lambda: _is(lambda: _counted(app, name) > 0))


async def test_a_client_that_hangs_up_within_its_upload_is_counted_and_costs_nothing():
    model = Gated()
    app = tiny.create_app(model)
    async with tiny.on_socket(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /shout HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        await until(lambda: _is(lambda: _counted(app, "switchboard_abandoned_total") == 1))
        labels = {"service": "tiny", "route": "/shout", "method": "POST", "status": "499"}
        await until(
            lambda: _is(lambda: _counted(app, "switchboard_http_requests_total", **labels) == 1)
        )


async def test_no_layer_hides_a_hang_up():
    """Starlette's BaseHTTPMiddleware runs the route in a task that does not hear of it."""
    layers = [layer.cls for layer in tiny.create_app().user_middleware]
    assert not [
        layer
        for layer in layers
        if isinstance(layer, type) and issubclass(layer, BaseHTTPMiddleware)
    ]


async def _is(fact) -> bool:
    return bool(fact())
