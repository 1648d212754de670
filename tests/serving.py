"""An app on a real port, for clients that know nothing of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn
from fastapi import FastAPI

from tests.support import WAIT_SECONDS


@contextmanager
def on_a_port(app: FastAPI) -> Iterator[str]:
    """Serve the app in a thread of its own, wait until it is ready, and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        yield _when_ready(server)
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)


def _when_ready(server: uvicorn.Server) -> str:
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        if server.started:
            port: int = server.servers[0].sockets[0].getsockname()[1]
            address = f"http://127.0.0.1:{port}"
            answer = httpx2.get(f"{address}/readyz", trust_env=False)
            if answer.status_code == 200:
                return address
        time.sleep(0.01)
    raise AssertionError(f"the service is not ready after {WAIT_SECONDS} s")
