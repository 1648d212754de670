"""Streams without an end, ended with the service: an open page must not hold a stop up for a minute."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from kit.health import Health

LOOK_SECONDS = 0.1


class EndsWithService:
    """Ends what lies below `path` once the service drains; everything else passes unread."""

    def __init__(self, app: ASGIApp, *, path: str, health: Health) -> None:
        self.app = app
        self.path = path
        self.health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(self.path):
            await self.app(scope, receive, send)
            return
        serving = asyncio.ensure_future(self.app(scope, receive, send))
        draining = asyncio.ensure_future(self._draining())
        try:
            await asyncio.wait({serving, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
            serving.cancel()  # nothing, when it is done
        try:
            await serving
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": b""})

    async def _draining(self) -> None:
        while not self.health.is_draining:  # noqa: ASYNC110 - the state is a value, not an event
            await asyncio.sleep(LOOK_SECONDS)
