"""Server-sent events, both ways (WHATWG HTML, 9.2)."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"

Emit = Callable[[str, Any], Awaitable[None]]
"""Sends one event: its name and its data, which becomes JSON."""

Write = Callable[[str], Awaitable[None]]
"""Sends a piece of text."""


@dataclass(frozen=True)
class Event:
    """One event as it was received."""

    name: str
    data: Any
    id: str


class TextStream(Response):
    """Answers with the text that `work` writes, in the task that serves the request.

    A client that hangs up cancels `work`; a client that reads slowly holds it back. The head goes
    out with the first text: what `work` raises before is an answer of its own.
    """

    def __init__(self, work: Callable[[Write], Awaitable[None]]) -> None:
        super().__init__(headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._work = work
        self.has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the protocol has it
        """Send every text as it comes."""

        async def write(text: str) -> None:
            await self._begin(send)
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        await self._work(write)
        await self._begin(send)
        await send({"type": "http.response.body", "body": b""})

    async def _begin(self, send: Send) -> None:
        if not self.has_begun:
            self.has_begun = True
            head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(head)


class EventStream(TextStream):
    """Answers with the events that `work` emits; the head goes out at once."""

    def __init__(self, work: Callable[[Emit], Awaitable[None]]) -> None:
        async def write_events(write: Write) -> None:
            await write("")

            async def emit(name: str, data: Any) -> None:
                await write(frame(data, name))

            await work(emit)

        super().__init__(write_events)


def frame(data: Any, name: str | None = None) -> str:
    """Return one event as it travels."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


async def received(lines: AsyncIterator[str]) -> AsyncGenerator[Event]:
    """Read events whose data is JSON; comments, and data of another kind, are passed over."""
    name, last_id, data = "message", "", list[str]()
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if (parsed := _json("\n".join(data))) is not None:
                yield Event(name, parsed, last_id)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
