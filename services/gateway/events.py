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


@dataclass(frozen=True)
class Event:
    """One event as it was received."""

    name: str
    data: Any
    id: str


class EventStream(Response):
    """Answers with the events that `work` emits, in the task that serves the request.

    A client that hangs up cancels `work`; a client that reads slowly holds it back.
    """

    def __init__(self, work: Callable[[Emit], Awaitable[None]]) -> None:
        super().__init__(headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the protocol has it
        """Send the head, then every event as it comes."""

        async def emit(name: str, data: Any) -> None:
            text = f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        await self._work(emit)
        await send({"type": "http.response.body", "body": b""})


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
