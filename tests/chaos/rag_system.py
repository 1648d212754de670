"""The rag service and its database as processes that can be killed: together, or as replicas."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from services.rag import postgres
from services.rag.postgres import Postgres
from tests.chaos.system import Process

LEASE_SECONDS = 3.0
START_SECONDS = 120.0


class RagSystem:
    """One service with a server of its own, or several on one server."""

    def __init__(self, folder: Path, replicas: int) -> None:
        self._folder = folder
        self._server = Postgres(folder / "server") if replicas > 1 else None
        self._ports = [_free_port() for _ in range(replicas)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        self.services: list[Process] = []

    @property
    def database_folder(self) -> Path:
        """Return where the server that answers keeps its data."""
        return self._folder / ("server" if self._server else "own")

    async def start(self) -> None:
        """Start everything and wait until it is ready."""
        if self._server:
            await asyncio.to_thread(self._server.start)
        command = [sys.executable, "-m", "kit.serve", "tests.chaos.rag_service"]
        for port in self._ports:
            log = self._folder / f"{port}.log"
            self.services.append(Process(command, log, self._environment(port)))
        await self.wait_until_ready()

    async def wait_until_ready(self) -> None:
        """Wait for each service to find everything in place."""
        give_up = time.monotonic() + START_SECONDS
        async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as client:
            for url in self.urls:
                while not await _is_ready(client, url):
                    if time.monotonic() > give_up:
                        raise TimeoutError(f"{url} did not become ready.")
                    await asyncio.sleep(0.1)

    async def kill_service(self, number: int) -> None:
        """Kill one and start it anew."""
        await self.services[number].end(signal.SIGKILL)
        self.services[number].start()

    def kill_postgres(self, *, only_a_backend: bool) -> bool:
        """Kill the server's first process, or any other: it then starts over; tell whether it ran."""
        pids = sorted(postgres.working_in(self.database_folder / "db"))
        if not pids:
            return False
        try:
            os.kill(pids[-1] if only_a_backend else pids[0], signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def failed_starts(self) -> list[str]:
        """Return the logs' lines about services that ended by themselves."""
        lines = [
            line for log in self._folder.glob("*.log") for line in log.read_text().splitlines()
        ]
        return [line[:2000] for line in lines if "start_or_stop_failed" in line]

    async def stop(self) -> None:
        """End the services gently, then the server."""
        for service in self.services:
            await service.end(signal.SIGTERM)
        if self._server:
            await asyncio.to_thread(self._server.stop)

    def _environment(self, port: int) -> dict[str, str]:
        where = (
            {"RAG_DATABASE_URL": self._server.url}
            if self._server
            else {"RAG_DATA_DIR": str(self._folder / "own")}
        )
        return {
            "RAG_PORT": str(port),
            "RAG_LEASE_SECONDS": str(LEASE_SECONDS),
            "RAG_DRAIN_SECONDS": "0",
            **where,
        }


@asynccontextmanager
async def running(folder: Path, replicas: int) -> AsyncGenerator[RagSystem]:
    """Run a system until the block ends."""
    system = RagSystem(folder, replicas)
    try:
        await system.start()
        yield system
    finally:
        await system.stop()


async def _is_ready(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
