"""Run a service: `python -m kit.serve services.classifier.app`.

The same as `uvicorn --factory services.classifier.app:create_app` with address, log format and
drain taken from the service's settings.
"""

import asyncio
import importlib
import signal
import sys
from types import FrameType

import uvicorn
from fastapi import FastAPI

from kit import logs
from kit.settings import ServiceSettings


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
                timeout_graceful_shutdown=60,
            )
        )
        self._health = app.state.health
        self._health.on_broken = self._stop
        self._drain_seconds = settings.drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._health.is_draining and self._drain_seconds:
            self._health.drain()
            asyncio.get_running_loop().call_later(self._drain_seconds, self._stop)
            return
        if not self._health.is_broken:
            self._health.drain()  # endless streams end when they see it
        super().handle_exit(sig, frame)

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
