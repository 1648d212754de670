"""Sends requests and notes when each was due, answered and how: a process of its own, on a core of its own.

    echo '{"port": 8001, "path": "/predict", "bodies": [...], "concurrency": 16, "seconds": 3}' | python load.py

`concurrency` sends the next request when one is answered; `rate` sends at fixed times whether or not any is answered, and
counts from when a request was due, so that a server that stalls cannot hide it.
"""

import asyncio
import itertools
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import httptools
import uvloop

GRACE_SECONDS = 5.0  # for answers still due when the time is over
MOST_CONNECTIONS = 800


@dataclass(frozen=True)
class Answer:
    """What became of one request: status 0 is no answer at all."""

    status: int
    due: float
    took: float


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._parser.should_keep_alive():
            self.close()
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        self._end(status)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_open = False
        self._end(0)

    def _end(self, status: int) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(status)

    async def send(self, request: bytes) -> int:
        """Return the answer's status."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        if self._transport:
            self._transport.close()


class Load:
    """Requests against one server."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = itertools.cycle(requests)
        self._idle: list[Connection] = []
        self._all: list[Connection] = []
        self.answers: list[Answer] = []

    async def ask(self, due: float) -> None:
        """Send the next request and note its answer."""
        try:
            connection = await self._connection()
            status = await connection.send(next(self._requests))
        except OSError:
            status = 0
        else:
            if connection.is_open:
                self._idle.append(connection)
        self.answers.append(Answer(status, due, time.monotonic() - due))

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        self._all.append(connection)
        return connection

    async def closed(self, concurrency: int, until: float) -> None:
        """Keep so many requests in flight."""

        async def one() -> None:
            while time.monotonic() < until:
                await self.ask(time.monotonic())

        await asyncio.gather(*(one() for _ in range(concurrency)))

    async def open(self, rate: float, started: float, until: float) -> None:
        """Send at fixed times; where the connections run out, a request counts as unanswered."""
        tasks: set[asyncio.Task[None]] = set()
        for due in _times(started, 1 / rate, until):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(tasks) >= MOST_CONNECTIONS:
                self.answers.append(Answer(0, due, 0.0))
                continue
            task = asyncio.create_task(self.ask(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        late = list(tasks)
        if late:
            await asyncio.wait(late, timeout=GRACE_SECONDS)
        for task in tasks:
            task.cancel()
        self.answers += [Answer(0, until, GRACE_SECONDS) for _ in tasks]

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._all:
            connection.close()


def _times(at: float, step: float, until: float) -> Iterator[float]:
    while at < until:
        yield at
        at += step


def http(port: int, path: str, body: Any, headers: dict[str, str]) -> bytes:
    """Return a request as it goes over the wire."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


async def run(task: dict[str, Any]) -> dict[str, Any]:
    """Run one load and return every answer."""
    bodies, headers = task["bodies"], task.get("headers", {})
    requests = [http(task["port"], task["path"], body, headers) for body in bodies]
    load = Load(task["port"], requests)
    started, used = time.monotonic(), time.process_time()
    until = started + task["seconds"]
    if "rate" in task:
        await load.open(task["rate"], started, until)
    else:
        await load.closed(task["concurrency"], until)
    ended = max(time.monotonic(), until)
    load.close()
    return {
        "seconds": (ended if "concurrency" in task else until) - started,
        "generator_cpu_share": (time.process_time() - used) / (ended - started),
        "answers": [(a.status, round(a.due - started, 4), round(a.took, 5)) for a in load.answers],
    }


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    json.dump(uvloop.run(run(json.load(sys.stdin))), sys.stdout)
