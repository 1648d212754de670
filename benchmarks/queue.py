"""How fast the job queue is, and how right its estimates are: `python -m benchmarks.queue`.

Starts a Redis and an API of its own. 20,000 jobs wait, nine tenths of them one tenant's, the rest 200
others'. Times are those of one caller, Redis included; `server_us` is the processor time that Redis
took per call, which other work on the machine disturbs less. The estimates are compared with what
happens at a worker whose rate is known, as it only sleeps. Writes results/queue.json.
"""

import argparse
import asyncio
import math
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import httpx2
from redis.asyncio import Redis

from benchmarks.setting import RESULTS, record
from kit.errors import Overloaded
from local import redis as redis_server
from services.imagegen.queue import Jobs, connect
from services.imagegen.settings import Settings
from services.imagegen.values import Report
from tests.chaos.system import System
from tests.imagegen.fakes import CARD, drawing
from tests.imagegen.queueing import PICTURE, fill, submit

WAITING, TENANTS = 20_000, 200
CALLS = 500
CLIENTS = 32
SLOTS, STEPS, BATCH_SECONDS = 4, 10, 0.5
RATE = SLOTS * CARD.pixel_steps(drawing()) / BATCH_SECONDS
ARRIVALS = 120  # to estimate for
REFUSALS = 20


async def timed(client: Redis, call: Callable[[], Awaitable[Any]], times: int = CALLS) -> Any:
    """Return a call's time at the median and the 99th percentile, and what it costs Redis."""
    used, took = await _cpu_seconds(client), []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        took.append((time.perf_counter() - started) * 1000)
    used = await _cpu_seconds(client) - used
    return {
        "p50_ms": round(median(took), 2),
        "p99_ms": round(quantiles(took, n=100)[-1], 2),
        "server_us": round(used / times * 1e6),
    }


async def _cpu_seconds(client: Redis) -> float:
    used = await client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def speed(client: Redis, jobs: Jobs) -> dict[str, Any]:
    """Time what the API and the workers call, with a full queue."""
    others = [f"tenant{number}" for number in range(TENANTS)]
    share = WAITING // 10 // TENANTS
    await fill(client, ["big"] * (WAITING - share * TENANTS) + others * share)
    tenants, ids = cycle(others), [await submit(jobs, "big"), await submit(jobs, others[0])]
    claimed = []

    async def claim() -> None:
        claimed.extend(await jobs.claim(8))

    results = {
        "ping": await timed(client, client.ping),
        "look_at_the_last_of_18000": await timed(client, lambda: jobs.look(ids[0], "big")),
        "look_at_one_of_few": await timed(client, lambda: jobs.look(ids[1], others[0])),
        "submit": await timed(client, lambda: submit(jobs, next(tenants))),
        "claim_8": await timed(client, claim),
    }
    batch = iter(claimed)
    results["finish"] = await timed(client, lambda: jobs.finish(next(batch), [PICTURE]))
    parts = ("submit", "claim_8", "finish")
    overhead = [results[part]["p50_ms"] / (8 if part == "claim_8" else 1) for part in parts]
    results["overhead_per_job_p50_ms"] = round(sum(overhead), 2)
    results["submits_per_second"] = await _per_second(lambda: submit(jobs, next(tenants)), 4000)
    results["finishes_per_second"] = await _per_second(
        lambda: jobs.finish(next(batch), [PICTURE]), 3000
    )
    return results


async def _per_second(call: Callable[[], Awaitable[Any]], times: int) -> int:
    """Return how often many callers together can call."""
    left = iter(range(times))

    async def caller() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CLIENTS)))
    return round(times / (time.perf_counter() - started))


async def paint_forever(jobs: Jobs) -> None:
    """Be a worker that takes as long for a batch as it says."""
    while True:
        await jobs.report("known", CARD, RATE, SLOTS)
        started = time.monotonic()
        batch = await jobs.claim(SLOTS)
        if not batch:
            await asyncio.sleep(0.005)
            continue
        seconds = BATCH_SECONDS * max(1.0, sum(job.drawing.count for job in batch) / SLOTS)
        for step in range(1, STEPS + 1):  # by the clock, so that a busy machine delays it little
            due = started + step * seconds / STEPS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await jobs.renew([Report(job=job, step=step, steps=STEPS) for job in batch])
        for job in batch:
            await jobs.finish(job, [PICTURE])


async def estimates(jobs: Jobs, limited: Jobs) -> dict[str, Any]:
    """Compare the time left as stated at the submission, and the time to stay away, with the real."""
    random = Random(1)
    ratios: list[float] = []

    async def customer(tenant: str) -> None:
        started = time.monotonic()
        job = await jobs.submit(random.randbytes(8).hex(), tenant, drawing(), card=CARD)
        after = "0-0"
        while not (found := await jobs.events(job.id, after)) or not found[-1].is_final:
            after = found[-1].id if found else after
        ratios.append((time.monotonic() - started) / max(0.05, job.eta_seconds or 0))

    async with asyncio.TaskGroup() as customers:
        for number in range(ARRIVALS):
            customers.create_task(customer(f"tenant{number % 5}"))
            await asyncio.sleep(random.expovariate(1.2 * SLOTS / BATCH_SECONDS))
    tenths = quantiles(ratios, n=10)
    return {
        "actual_to_stated_time_left": {
            "p10": round(tenths[0], 2),
            "p50": round(median(ratios), 2),
            "p90": round(tenths[-1], 2),
        },
        "retry_after": await retries(limited),
    }


async def retries(limited: Jobs) -> dict[str, Any]:
    """Return how many of the refused were admitted when told, and how long it really took."""
    names = (f"tenant{number}" for number in range(10**6))
    advised = [await _refused(limited, names) for _ in range(3)]
    admitted = 0
    for _ in range(REFUSALS):
        await asyncio.sleep(math.ceil(await _refused(limited, names)))  # as Retry-After says it
        admitted += await _wait(limited, names) is None
    ratios = []
    for _ in range(REFUSALS):
        advised.append(await _refused(limited, names))
        started = time.monotonic()
        while await _wait(limited, names) is not None:  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.005)
        ratios.append((time.monotonic() - started) / advised[-1])
    return {
        "admitted_when_told": f"{admitted} of {REFUSALS}",
        "advised_seconds_p50": round(median(advised), 2),
        "actual_to_advised_p50": round(median(ratios), 2),
    }


async def _refused(limited: Jobs, names: Iterator[str]) -> float:
    """Order until the queue is full; return the time to stay away."""
    while (wait := await _wait(limited, names)) is None:
        pass
    return wait


async def _wait(limited: Jobs, names: Iterator[str]) -> float | None:
    try:
        await submit(limited, next(names), drawing=drawing(count=2 * SLOTS))
    except Overloaded as refusal:
        return refusal.retry_after_seconds
    return None


async def over_http(folder: Path) -> dict[str, Any]:
    """Time a request from its sending to the 202, at a real API with nothing else to do."""
    system = System(folder)
    try:
        await system.wait_until_ready()
        async with (
            connect(system.redis_url) as client,
            httpx2.AsyncClient(base_url=system.url, timeout=30.0) as caller,
        ):
            for worker in system.workers:
                await worker.end(signal.SIGKILL)

            async def post() -> None:
                answer = await caller.post("/v1/images", json={"prompt": "a red circle"})
                assert answer.status_code == 202, answer.text

            async def get() -> None:
                await caller.get("/livez")

            await timed(client, post, 50)
            posted, plain = await timed(client, post), await timed(client, get)
    finally:
        await system.stop()
    return {"post_to_202": posted, "livez": plain}


async def measure(folder: Path) -> dict[str, Any]:
    """Measure all."""
    with redis_server.on_socket(folder) as url:
        async with connect(url, max_connections=2 * ARRIVALS) as client:
            settings = Settings(
                redis_url=url,
                fsync_wait_ms=0,
                max_waiting_per_tenant=10**6,
                max_backlog_seconds=1e9,
            )
            jobs = Jobs(client, settings)
            limited = Jobs(client, settings.model_copy(update={"max_backlog_seconds": 3.0}))
            version = (await client.info("server"))["redis_version"]
            await jobs.report("known", CARD, RATE, SLOTS)
            results = {"redis": version, "speed": await speed(client, jobs)}
            await client.flushdb(asynchronous=True)
            painting = asyncio.create_task(paint_forever(jobs))
            results["estimates"] = await estimates(jobs, limited)
            painting.cancel()
    (folder / "http").mkdir()
    return results | {"http": await over_http(folder / "http")}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "queue.json")
    given = parser.parse_args()
    before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="queue-") as folder:
        results = asyncio.run(measure(Path(folder)))
    load = {"before": before, "after": os.getloadavg()}
    record(given.out, results, load_average=load, waiting=WAITING, calls=CALLS)
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
