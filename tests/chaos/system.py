"""The picture service as processes that can be killed, frozen and started again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from local import redis

ROOT = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 2.0
FROZEN_SECONDS = 2.5 * LEASE_SECONDS
WORKERS = 2
START_SECONDS = 120.0


class Process:
    """One program, started anew after each death."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = command
        self._environment = os.environ | (environment or {})
        self._log = log
        self.start()

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    @property
    def is_running(self) -> bool:
        """Tell whether it lives, frozen or not."""
        return self._process.poll() is None

    def send(self, sign: signal.Signals) -> None:
        """Send a signal, unless it is gone."""
        if self.is_running:
            self._process.send_signal(sign)

    async def end(self, sign: signal.Signals) -> None:
        """End it and wait until it is gone."""
        self.send(sign)
        self.send(signal.SIGCONT)
        await asyncio.to_thread(self._process.wait)


class System:
    """Redis, one API and some workers, with data below a folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.redis_url = f"unix://{folder / 'redis.sock'}"
        environment = {
            "IMAGEGEN_REDIS_URL": self.redis_url,
            "IMAGEGEN_STORAGE_URL": str(folder / "pictures"),
            "IMAGEGEN_LEASE_SECONDS": str(LEASE_SECONDS),
            "IMAGEGEN_PORT": str(port),
            "IMAGEGEN_WORKER_PORT": "0",
            "CHAOS_DIR": str(folder),
        }
        self.redis = Process(
            redis.command(folder, socket=folder / "redis.sock"), folder / "redis.log"
        )
        self.api = Process(
            [sys.executable, "-m", "kit.serve", "services.imagegen.app"],
            folder / "api.log",
            environment,
        )
        self.workers = [
            Process(
                [sys.executable, "-m", "tests.chaos.worker"],
                folder / f"worker{number}.log",
                environment,
            )
            for number in range(WORKERS)
        ]

    async def wait_until_ready(self) -> None:
        """Wait for the API to find everything in place."""
        give_up = time.monotonic() + START_SECONDS
        async with httpx2.AsyncClient(base_url=self.url, timeout=5.0) as client:
            while time.monotonic() < give_up:
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.1)
        raise TimeoutError(f"{self.url} did not become ready.")

    async def replace_dead_workers(self) -> None:
        """Start anew what died, as an orchestrator does, until cancelled."""
        while True:
            for worker in self.workers:
                if not worker.is_running:
                    worker.start()
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End all processes."""
        for process in (*self.workers, self.api, self.redis):
            await process.end(signal.SIGKILL)
