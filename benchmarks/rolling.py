"""Replace an instance under load, again and again: `python -m benchmarks.rolling`.

Two instances of the classifier run as processes. Clients ask the first without a pause, some on connections that they keep,
some on a new one each time; SIGTERM ends it, and whoever is refused a connection goes to the second. Any other outcome
than a right answer is a failed request. Writes results/rolling.json.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.setting import RESULTS, record
from local.stack import ROOT

TIMES, KEEPING, ANEW, REQUESTS = 10, 12, 4, 300
START_SECONDS = 120.0
LOOK_SECONDS = 0.02

Ask = Callable[[httpx2.AsyncClient, str, str], Awaitable[httpx2.Response]]
"""Sends one request about a text to an instance's URL; the answer's JSON must hold the text's mark."""


@dataclass
class Instance:
    """One process of a service."""

    process: asyncio.subprocess.Process
    url: str

    async def is_ready(self) -> bool:
        """Ask whether it takes work."""
        assert self.process.returncode is None, "it ended"
        try:
            async with httpx2.AsyncClient(trust_env=False) as client:
                return (await client.get(f"{self.url}/readyz")).is_success
        except httpx2.TransportError:
            return False

    async def end(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@asynccontextmanager
async def instance(module: str, prefix: str = "", **settings: str) -> AsyncGenerator[Instance]:
    """Run `python -m kit.serve` on a free port until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {f"{prefix}{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kit.serve", module),
        cwd=ROOT,
        env={
            **os.environ,
            f"{prefix}LOG_LEVEL": "warning",
            f"{prefix}PORT": str(port),
            **given,
        },
    )
    found = Instance(process, f"http://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await found.is_ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(LOOK_SECONDS)
        yield found
    finally:
        if process.returncode is None:
            await found.end()


@dataclass
class Load:
    """Clients that ask without a pause, and go to the next instance once theirs refuses to connect."""

    urls: list[str]
    ask: Ask
    answered: Counter[str] = field(default_factory=Counter)  # by instance
    failures: list[str] = field(default_factory=list)
    goodbyes: int = 0  # answers that closed a connection
    is_over: bool = False

    async def client(self, number: int, *, keeps: bool) -> None:
        """Ask until the load is over."""
        limits = httpx2.Limits(max_keepalive_connections=1 if keeps else 0)
        urls, count = iter(self.urls), 0
        url = next(urls)
        async with httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
            while not self.is_over:
                count += 1
                try:
                    self._note(url, await self.ask(client, url, f"{number}.{count}"))
                except httpx2.ConnectError:  # refused: nothing was sent
                    url = next(urls)
                except httpx2.TransportError as error:
                    self.failures.append(f"{type(error).__name__}: {error}")

    def _note(self, url: str, answer: httpx2.Response) -> None:
        if not answer.is_success:
            self.failures.append(f"{answer.status_code} {answer.text}")
        self.answered[url] += 1
        self.goodbyes += answer.headers.get("connection") == "close"

    async def reaches(self, url: str, requests: int) -> None:
        """Wait until an instance has answered so many requests."""
        while self.answered[url] < requests:
            assert len(self.failures) < requests, self.failures[:5]
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def load(urls: list[str], ask: Ask, *, keeping: int, anew: int) -> AsyncGenerator[Load]:
    """Ask the first of some instances, side by side, until the block ends."""
    found = Load(urls, ask)
    clients = [found.client(number, keeps=number < keeping) for number in range(keeping + anew)]
    tasks = [asyncio.create_task(client) for client in clients]
    try:
        yield found
    finally:
        found.is_over = True
        await asyncio.gather(*tasks)


async def classify(client: httpx2.AsyncClient, url: str, mark: str) -> httpx2.Response:
    """Send one short text to the classifier."""
    body = {"texts": [f"Thank you so much, this made my day! {mark}"]}
    return await client.post(f"{url}/v1/classify", json=body)


async def replace() -> dict[str, Any]:
    """Replace the classifier once, and count."""
    classifier = "services.classifier.app", "CLASSIFIER_"
    async with (
        instance(*classifier) as old,
        instance(*classifier) as new,
        load([old.url, new.url], classify, keeping=KEEPING, anew=ANEW) as clients,
    ):
        await clients.reaches(old.url, REQUESTS)
        started = time.monotonic()
        status = await old.end()
        seconds = time.monotonic() - started
        await clients.reaches(new.url, REQUESTS)
    return {
        "answered": sum(clients.answered.values()),
        "failed": len(clients.failures),
        "failures": clients.failures[:5],
        "exit_status": status,
        "seconds_to_end": round(seconds, 2),
    }


async def measure(times: int) -> dict[str, Any]:
    """Replace the classifier so many times."""
    found = []
    for _ in range(times):
        found.append(await replace())
        print(found[-1], flush=True)
    return {
        "replacements": len(found),
        "answered": sum(one["answered"] for one in found),
        "failed": sum(one["failed"] for one in found),
        "failures": [failure for one in found for failure in one["failures"]],
        "exit_statuses": sorted({one["exit_status"] for one in found}),
        "most_seconds_to_end": max(one["seconds_to_end"] for one in found),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "rolling.json")
    parser.add_argument("--times", type=int, default=TIMES)
    given = parser.parse_args()
    before = os.getloadavg()
    results = asyncio.run(measure(given.times))
    record(given.out, results, load_average={"before": before, "after": os.getloadavg()})
    print(results)


if __name__ == "__main__":
    main()
