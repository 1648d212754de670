"""Run a service: `python -m kit.serve services.classifier.app`.

The same as `uvicorn --factory services.classifier.app:create_app` with address, log format and
drain taken from the service's settings. On SIGTERM, in this order: `/readyz` fails and every answer
closes its connection; `drain_seconds` later the socket closes; connections that are open may still
ask for a moment; what was asked is answered; the models close; the process ends with 0. On Ctrl-C the
socket closes at once.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from kit import logs
from kit.settings import ServiceSettings

KEEP_ALIVE_SECONDS = (
    75  # longer than clients and balancers keep theirs: who closes first sees no reset
)
LINGER_SECONDS = 0.5  # for requests that are on their way when the socket closes
LOOK_SECONDS = 0.02
ANSWER_SECONDS = 60  # what takes longer is cut off


class _Server(uvicorn.Server):
    """Fails readiness on SIGTERM first, and closes the socket `drain_seconds` later."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=ANSWER_SECONDS,
            )
        )
        self._health = app.state.health
        self._health.on_broken = self._stop
        self._drain_seconds = settings.drain_seconds
        self._close_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        is_first = not self._health.is_draining
        if not self._health.is_broken:
            self._health.drain()  # endless streams end when they see it
        if sig == signal.SIGTERM and is_first:
            self._close_at = time.monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._close_at:
            self._stop()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the socket without losing anyone who reached it, then end as uvicorn does."""
        for connection in self._close_listeners():
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        for _ in range(3):
            await asyncio.sleep(0)  # the last ones that the loop accepted become connections
        give_up = time.monotonic() + LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < give_up:  # noqa: ASYNC110 - uvicorn keeps a set
            await asyncio.sleep(LOOK_SECONDS)
        await super().shutdown(sockets)

    def _close_listeners(self) -> list[socket.socket]:
        """Return the connections that waited to be accepted: closing would reset them.

        The loop alone would be too slow, uvloop accepts one in each turn. Here nothing comes between
        the last one and the end.
        """
        listeners = [
            socket.socket(fileno=os.dup(listener.fileno()))
            for server in self.servers
            for listener in server.sockets
        ]
        for server in self.servers:
            server.close()
        accepted = []
        for listener in listeners:
            with listener, contextlib.suppress(BlockingIOError):
                listener.setblocking(False)
                while True:
                    accepted.append(listener.accept()[0])
        return accepted

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        state = self.lifespan.state
        return make(config=self.config, server_state=self.server_state, app_state=state)

    def _stop(self) -> None:
        self.should_exit = True


def main(module: str) -> int:
    """Serve until SIGTERM or Ctrl-C; return 1 when the service broke."""
    app: FastAPI = importlib.import_module(module).create_app()
    settings: ServiceSettings = app.state.settings
    logs.configure(app.title.rsplit(" ", 1)[-1], settings.log_level, settings.log_format)
    server = _Server(app, settings)
    server.run()
    return 1 if app.state.health.is_broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
