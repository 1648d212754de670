"""Kill everything again and again while customers order pictures: `make chaos`.

Each round places some orders and breaks one thing: a worker is killed, told to stop, or frozen for
longer than its lease, while painting or delivering; Redis is killed or frozen; the API is killed. At the end every acknowledged
job must have ended, once, with the pictures that were ordered. Exits with 1 when one has not.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx2

from benchmarks.setting import RESULTS, record
from services.imagegen.queue import Jobs, connect
from services.imagegen.queue.records import Totals
from services.imagegen.settings import Settings
from tests.chaos.customers import Customers, Order
from tests.chaos.system import FROZEN_SECONDS, LEASE_SECONDS, Process, System
from tests.chaos.worker import NAP, POISON

ORDERS = (4, 8)  # per round, at least and at most
POISON_EVERY = 10  # rounds, in which an order kills each worker that paints it
OPEN_ORDERS = 16  # a round waits until no more are open than these
NAP_SECONDS = 60.0  # in which one of the open orders is painted
STUCK_SECONDS = 180.0  # after the last round


async def chaos(folder: Path, rounds: int, seed: int) -> dict[str, Any]:
    """Run all rounds; return what was counted, with `violations` among it."""
    started = time.monotonic()
    random, kills = Random(seed), Counter[str]()
    system = System(folder)
    async with httpx2.AsyncClient(base_url=system.url, timeout=20.0) as client:
        customers = Customers(client, seed)
        replacing = asyncio.create_task(system.replace_dead_workers())
        try:
            await system.wait_until_ready()
            open_orders: set[asyncio.Task[None]] = set()
            deck: list[str] = []
            for number in range(rounds):
                deck = deck or random.sample(sorted(FAULTS), len(FAULTS))
                kinds = ["picture"] * random.randint(*ORDERS)
                kinds += [POISON] if number % POISON_EVERY == 0 else []
                open_orders |= {asyncio.create_task(customers.order(kind)) for kind in kinds}
                await asyncio.sleep(random.random())
                fault = deck.pop()
                kills[fault] += 1
                await FAULTS[fault](system, random)
                while len(open_orders) > OPEN_ORDERS:
                    _, open_orders = await asyncio.wait(open_orders, return_when="FIRST_COMPLETED")
                _say(f"round {number + 1}/{rounds}: {fault}, {len(open_orders)} orders open")
            stuck: set[asyncio.Task[None]] = set()
            if open_orders:
                _, stuck = await asyncio.wait(open_orders, timeout=STUCK_SECONDS)
            customers.violations += [f"an order is stuck: {task}" for task in stuck]
            await asyncio.sleep(2 * LEASE_SECONDS)  # for what the last thawed worker may still do
            ends, totals = await _balance(system, customers)
        finally:
            replacing.cancel()
            await system.stop()
    return {
        "acknowledged": sum(1 for order in customers.orders if order.id),
        **ends,
        "dead": totals.jobs["dead"],
        "stuck": len(stuck),
        "redelivered": totals.lost,
        "refused_results": totals.refused,
        "heard": dict(sorted(customers.heard.items())),
        "faults": dict(sorted(kills.items())),
        "seconds": round(time.monotonic() - started, 1),
        "violations": customers.violations,
    }


async def _balance(system: System, customers: Customers) -> tuple[Counter[str], Totals]:
    """Compare what the customers have with what the queue counts."""
    async with connect(system.redis_url) as client:
        jobs = Jobs(client, Settings(redis_url=system.redis_url))

        async def generations(order: Order) -> set[str]:
            job = await jobs.look(order.id, order.tenant)
            named = {picture.path.split("/")[-2] for picture in job.pictures}
            return named | {str(job.generation)} if named else set()

        ends = await customers.check_all(generations)
        totals = await jobs.totals()
    counted = {state: totals.jobs[state] for state in ("done", "failed", "cancelled")}
    if counted != {state: ends[state] for state in counted}:
        customers.violations.append(f"the queue ended {counted}, the customers have {dict(ends)}")
    if len({order.id for order in customers.orders}) != len(customers.orders):
        customers.violations.append("two orders have one job")
    return ends, totals


async def _freeze(process: Process) -> None:
    process.send(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_SECONDS)
    process.send(signal.SIGCONT)


async def _kill_worker(system: System, random: Random) -> None:
    await random.choice(system.workers).end(signal.SIGKILL)


async def _stop_worker(system: System, random: Random) -> None:
    await random.choice(system.workers).end(signal.SIGTERM)


async def _freeze_worker(system: System, random: Random) -> None:
    await _freeze(random.choice(system.workers))


async def _freeze_who_delivers(system: System, _: Random) -> None:
    """Freeze a worker between storing a picture and finishing its job; it finishes when it wakes."""
    nap = system.folder / NAP
    nap.touch()
    give_up = time.monotonic() + NAP_SECONDS
    while nap.exists() and time.monotonic() < give_up:  # noqa: ASYNC110 - a file says it
        await asyncio.sleep(0.05)
    nap.unlink(missing_ok=True)
    await asyncio.sleep(FROZEN_SECONDS)
    for worker in system.workers:
        worker.send(signal.SIGCONT)


async def _kill_redis(system: System, _: Random) -> None:
    await system.redis.end(signal.SIGKILL)
    system.redis.start()


async def _freeze_redis(system: System, _: Random) -> None:
    await _freeze(system.redis)


async def _kill_api(system: System, _: Random) -> None:
    await system.api.end(signal.SIGKILL)
    system.api.start()


FAULTS: dict[str, Callable[[System, Random], Awaitable[None]]] = {
    "worker_killed": _kill_worker,
    "worker_frozen": _freeze_worker,
    "worker_frozen_delivering": _freeze_who_delivers,
    "worker_told_to_stop": _stop_worker,
    "redis_killed": _kill_redis,
    "redis_frozen": _freeze_redis,
    "api_killed": _kill_api,
}


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Run, print the counts, write them, and return 1 after a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "chaos.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        results = asyncio.run(chaos(Path(folder), given.rounds, given.seed))
    record(given.out, results, seed=given.seed, rounds=given.rounds)
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    return 1 if results["violations"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
