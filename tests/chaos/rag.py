"""Kill the rag service and PostgreSQL again and again while documents come in: `make chaos-rag`.

Half of the uploads go to one service with a server of its own, half to two replicas on one server.
At random moments a service or PostgreSQL gets a SIGKILL. At the end every acknowledged document must be there, whole
and found, every deleted one gone, and the statistics must equal what a recount gives. Exits with 1
when that is not so.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.setting import RESULTS, record
from services.rag.database import opened
from services.rag.postgres import Postgres
from tests.chaos.rag_clients import Clients
from tests.chaos.rag_recount import problems
from tests.chaos.rag_system import RagSystem, running

WRITERS = 4
READERS = 2
FIRST_PAUSE_SECONDS = (0.05, 0.2)  # in a short run all is uploaded within a second
PAUSE_SECONDS = (1.0, 5.0)  # between kills, beside the time that a start takes
SETTINGS = {"own server": 1, "two replicas": 2}
INDEXED_SECONDS = 180.0


async def chaos(folder: Path, ingests: int, seed: int) -> dict[str, Any]:
    """Run both settings; return what was counted, with `violations` among it."""
    results: dict[str, Any] = {}
    for setting, replicas in SETTINGS.items():
        below = folder / f"replicas{replicas}"
        below.mkdir()
        below.chmod(0o711)  # as root, PostgreSQL runs as another user
        results[setting] = await _one(below, replicas, ingests // len(SETTINGS), seed + replicas)
        sys.stderr.write(f"{setting}: {json.dumps(results[setting])}\n")
    results["violations"] = [one for part in SETTINGS for one in results[part]["violations"]]
    return results


async def _one(folder: Path, replicas: int, ingests: int, seed: int) -> dict[str, Any]:
    started, random, kills = time.monotonic(), Random(seed), Counter[str]()
    async with running(folder, replicas) as system:
        clients = Clients(system.urls, seed)
        try:
            await clients.open_collection()
            writers = [asyncio.create_task(clients.write(n, ingests)) for n in range(WRITERS)]
            readers = [asyncio.create_task(clients.read()) for _ in range(READERS)]
            killer = asyncio.create_task(_kill(system, random, kills))
            await asyncio.gather(*writers)
            killer.cancel()
            last_written = time.monotonic()
            is_indexed = await _indexed(clients)
            resumed = time.monotonic() - last_written
            for task in readers:
                task.cancel()
            await asyncio.gather(killer, *readers, return_exceptions=True)
            await system.wait_until_ready()
            ends = await clients.check()
        finally:
            await clients.close()
    clients.violations += system.failed_starts()
    if not is_indexed:
        clients.violations.append(f"documents still wait after {INDEXED_SECONDS} s")
    clients.violations += await _recounted(system.database_folder)
    return {
        "acknowledged": clients.ingests,
        **{key.replace(" ", "_"): count for key, count in sorted(clients.done.items())},
        "documents": dict(sorted(ends.items())),
        "lost": ends["lost"],
        "kills": dict(sorted(kills.items())),
        "heard": dict(sorted(clients.heard.items())),
        "indexed_after_the_last_upload_seconds": round(resumed, 1),
        "seconds": round(time.monotonic() - started, 1),
        "violations": clients.violations,
    }


async def _kill(system: RagSystem, random: Random, kills: Counter[str]) -> None:
    """Kill one thing after the other, until cancelled."""
    deck: list[str] = []
    pause = FIRST_PAUSE_SECONDS
    while True:
        await asyncio.sleep(random.uniform(*pause))
        pause = PAUSE_SECONDS
        deck = deck or random.sample(["service", "postgres", "service", "postgres_backend"], 4)
        what = deck.pop()
        if what == "service":
            await system.kill_service(random.randrange(len(system.services)))
            kills[what] += 1
        else:
            kills[what] += system.kill_postgres(only_a_backend=what == "postgres_backend")


async def _indexed(clients: Clients) -> bool:
    """Wait until nothing waits; tell whether that came to be."""
    try:
        async with asyncio.timeout(INDEXED_SECONDS):
            while await clients.waiting():  # noqa: ASYNC110 - over HTTP, as anyone would
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False
    return True


async def _recounted(folder: Path) -> list[str]:
    """Open the data by itself and count everything anew."""
    server = Postgres(folder)
    await asyncio.to_thread(server.start)
    try:
        async with opened(server.url, connections=2) as database, database.connection() as one:
            return await problems(one)
    finally:
        await asyncio.to_thread(server.stop)


def main() -> int:
    """Run, print the counts, write them, and return 1 after a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ingests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "rag_chaos.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        results = asyncio.run(chaos(folder, given.ingests, given.seed))
    record(given.out, results, seed=given.seed, ingests=given.ingests)
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    return 1 if results["violations"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
