"""The gateway's public API, called with the visitor's own key: the console may do nothing by itself."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Self
from urllib.parse import quote

import httpx2

from kit import deadline, logs
from kit.client import ServiceClient
from kit.errors import Unauthorized
from services.console.schemas import Blend, Understood, Wish

EVENTS = "text/event-stream"
OVER = ("done", "failed", "cancelled")
Event = tuple[str, dict[str, Any]]
"""An event's name and its data."""


class Gateway:
    """Calls the gateway; every call has a request id and a time budget of its own.

    Raises the gateway's problems as kit's ServiceError, Unauthorized for a missing or unknown key.
    """

    def __init__(
        self,
        url: str,
        *,
        wish_seconds: float,
        look_seconds: float,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._gateway = ServiceClient("gateway", url, transport=transport)
        self._wish_seconds = wish_seconds
        self._look_seconds = look_seconds

    async def __aenter__(self) -> Self:
        """Open the pool."""
        await self._gateway.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self._gateway.__aexit__()

    async def route(self, wish: Wish, key: str) -> Understood:
        """Say what a wish would be taken for; nothing is run."""
        told = await self._json("POST", "/v1/route", key, body=wish.body(wish.intent))
        return Understood.model_validate(told | {"is_forced": wish.intent is not None})

    def assist(self, wish: Wish, intent: str | None, key: str) -> AsyncGenerator[Event]:
        """Carry a wish out; yields `route`, `progress`, `preview`, `result` or `error`."""
        return self._events("POST", "/v1/assist", key, body=wish.body(intent))

    async def blend(self, blend: Blend, key: str) -> dict[str, Any]:
        """Order a blend; returns its job."""
        return await self._json("POST", "/v1/blends", key, body=blend.body())

    def follow(self, job_id: str, key: str) -> AsyncGenerator[Event]:
        """Yield a job's events; the last one is `done`, `failed` or `cancelled` with the job."""
        return self._events("GET", f"/v1/images/{quote(job_id, safe='')}/events", key)

    async def cancel(self, job_id: str, key: str) -> None:
        """Cancel a picture that waits or is being painted."""
        await self._json("DELETE", f"/v1/images/{quote(job_id, safe='')}", key)

    async def picture(self, url: str, key: str) -> bytes:
        """Fetch a painted picture by the address that its job names."""
        return (await self._look("GET", url, key)).content

    async def services(self, key: str) -> list[dict[str, Any]]:
        """Return who takes work now, and why the others do not."""
        return list((await self._json("GET", "/v1/services", key))["services"])

    async def add_documents(
        self, collection: str, files: Sequence[tuple[str, bytes]], key: str
    ) -> list[dict[str, Any]]:
        """Store files in a collection, which is made if need be; returns their receipts."""
        place = f"/v1/collections/{quote(collection, safe='')}"
        found = await self._sent("GET", place, key)
        if found.status_code == 404:
            await self._json("PUT", place, key, body={})
        content, kind = await asyncio.to_thread(_form, files)
        answer = await self._sent(
            "POST",
            f"{place}/documents",
            key,
            content=content,
            headers={"Content-Type": kind},
            seconds=self._wish_seconds,
        )
        return list(self._parsed(answer)["documents"])

    async def document(self, collection: str, identity: str, key: str) -> dict[str, Any]:
        """Return a stored document: its text, and how far its indexing is."""
        place = f"/v1/collections/{quote(collection, safe='')}/documents/{quote(identity, safe='')}"
        return await self._json("GET", place, key)

    async def _json(self, method: str, path: str, key: str, *, body: Any = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        answer = await self._look(method, path, key, content=content)
        return dict(self._parsed(answer))

    async def _look(
        self, method: str, path: str, key: str, *, content: bytes | None = None
    ) -> httpx2.Response:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        answer = await self._sent(method, path, key, content=content, headers=headers)
        if not answer.is_success:
            self._parsed(answer)
        return answer

    async def _sent(
        self,
        method: str,
        path: str,
        key: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> httpx2.Response:
        with _of_its_own(seconds or self._look_seconds):
            return await self._gateway.request(
                method, path, content=content, headers=(headers or {}) | _credentials(key)
            )

    async def _events(
        self, method: str, path: str, key: str, *, body: Any = None
    ) -> AsyncGenerator[Event]:
        headers = {"Accept": EVENTS} | _credentials(key)
        if body is not None:
            headers["Content-Type"] = "application/json"
        async with AsyncExitStack() as stack:
            # The caller may take each event in another task, so nothing may stay entered meanwhile.
            with _of_its_own(self._wish_seconds):
                answer = await stack.enter_async_context(
                    self._gateway.stream(
                        method,
                        path,
                        content=None if body is None else json.dumps(body).encode(),
                        headers=headers,
                    )
                )
            if not answer.is_success:
                await answer.aread()
                self._parsed(answer)
            async for event in httpx2.EventSource(answer):
                if isinstance(data := event.json(), dict):
                    yield event.event, data

    def _parsed(self, answer: httpx2.Response) -> Any:
        # To the kit a 401 between services is a wrong token; here it is the visitor's key.
        if answer.status_code == Unauthorized.status:
            raise Unauthorized("The gateway does not know this key.")
        return self._gateway.parsed(answer)


def _form(files: Sequence[tuple[str, bytes]]) -> tuple[bytes, str]:
    """Return a form's body and its type; megabytes take a moment."""
    form = httpx2.Request("POST", "http://form", files=[("files", file) for file in files])
    return form.read(), str(form.headers["Content-Type"])


def _credentials(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


@contextmanager
def _of_its_own(seconds: float) -> Iterator[None]:
    """Give one call its own id and time budget, whatever request the page's server is in."""
    named = logs.enter(logs.Ids(os.urandom(16).hex()))
    limited = deadline.enter(deadline.Deadline.after(seconds))
    try:
        yield
    finally:
        deadline.leave(limited)
        logs.leave(named)
