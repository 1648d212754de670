"""What the queue, the worker and HTTP cost beside the bare pipeline: `python -m benchmarks.imagegen`.

Starts the system on free ports with the embedded model and one worker, and measures in one run:

- throughput: pictures per second through HTTP over those of the same pipeline called directly at its best
  batch. Both take turns, round by round, so that whatever else the machine does hits both alike.
- overhead: one job at a time, from the request to the `done` event, less the time that the worker painted.
- goodput: ten tenants send three times what the worker can do, each job with a deadline. Counted is what was
  done in time, over the capacity measured just before, and what the refused were told.

Writes results/imagegen.json.
"""

import argparse
import asyncio
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.setting import RESULTS, record, with_own_system
from kit.models import resolve
from local.stack import Stack
from services.imagegen.settings import Settings

ROUNDS, PICTURES_PER_ROUND = 5, 48
JOBS_ALONE = 40
TENANTS, OVERLOAD, OVERLOAD_SECONDS, DEADLINE_SECONDS = 10, 3.0, 30.0, 8.0
BATCHES = (1, 2, 4, 8)
PROMPTS = (
    "a red circle above a blue square",
    "dibuja un triángulo verde",
    "нарисуй жёлтую звезду на синем фоне",
    "three orange hearts",
)


def wish(number: int, **more: Any) -> dict[str, Any]:
    """Return a request; each has its own prompt and seed."""
    return {"prompt": PROMPTS[number % len(PROMPTS)], "seed": number, **more}


async def paint(api: httpx2.AsyncClient, body: dict[str, Any], tenant: str = "default") -> str:
    """Order a picture, watch its events to the end and return its status; `refused` for a 429."""
    headers = {"X-Tenant": tenant}
    answer = await api.post("/v1/images", json=body, headers=headers)
    if answer.status_code == 429:
        return "refused"
    where = answer.raise_for_status().headers["Location"]
    async with api.stream("GET", f"{where}/events", headers=headers) as events:
        last = ""
        async for line in events.aiter_lines():
            if line.startswith("event: "):
                last = line.removeprefix("event: ")
    return last


async def throughput(api: httpx2.AsyncClient, first_seed: int, pictures: int) -> float:
    """Return pictures per second when all are ordered at once."""
    started = time.perf_counter()
    ends = await asyncio.gather(*(paint(api, wish(first_seed + n)) for n in range(pictures)))
    if set(ends) != {"done"}:
        raise SystemExit(f"Not every picture was painted: {Counter(ends)}.")
    return pictures / (time.perf_counter() - started)


async def compare(api: httpx2.AsyncClient, bare: BarePipeline, rounds: int) -> dict[str, Any]:
    """Take turns between the bare pipeline at its best batch and the service."""
    per_batch = {
        size: await asyncio.to_thread(bare.rate, size, PICTURES_PER_ROUND) for size in BATCHES
    }
    best = max(per_batch, key=lambda size: per_batch[size])
    await throughput(api, 0, PICTURES_PER_ROUND)  # warms connections and the measured rate
    direct, served = [], []
    for number in range(rounds):
        direct.append(await asyncio.to_thread(bare.rate, best, PICTURES_PER_ROUND))
        served.append(await throughput(api, 1000 * (number + 1), PICTURES_PER_ROUND))
    ratios = [ours / theirs for ours, theirs in zip(served, direct, strict=True)]
    return {
        "bare_pictures_per_second_by_batch": {n: round(rate, 2) for n, rate in per_batch.items()},
        "bare_best_batch": best,
        "bare_pictures_per_second": [round(rate, 2) for rate in direct],
        "served_pictures_per_second": [round(rate, 2) for rate in served],
        "served_to_bare": [round(ratio, 3) for ratio in ratios],
        "median_served_to_bare": round(median(ratios), 3),
    }


async def overhead(
    api: httpx2.AsyncClient, worker: httpx2.AsyncClient, jobs: int
) -> dict[str, Any]:
    """Return what a lone job takes beyond its painting, in milliseconds."""
    beyond = []
    for number in range(jobs):
        painted = await _painting_seconds(worker)
        started = time.perf_counter()
        await paint(api, wish(50_000 + number))
        took = time.perf_counter() - started
        beyond.append((took - (await _painting_seconds(worker) - painted)) * 1000)
    cuts = quantiles(beyond, n=20)
    return {"p50_ms": round(median(beyond), 2), "p95_ms": round(cuts[18], 2), "jobs": jobs}


async def _painting_seconds(worker: httpx2.AsyncClient) -> float:
    lines = (await worker.get("/metrics")).text.splitlines()
    name = "imagegen_gpu_busy_seconds_total"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def goodput(api: httpx2.AsyncClient, capacity: float) -> dict[str, Any]:
    """Send three times the capacity from ten tenants, open loop, and count what came in time."""
    ends: Counter[str] = Counter()
    per_tenant: Counter[str] = Counter()
    every = 1 / (capacity * OVERLOAD)
    number = round(OVERLOAD_SECONDS / every)

    async def one(n: int) -> None:
        tenant = f"tenant-{n % TENANTS}"
        started = time.perf_counter()
        end = await paint(api, wish(n, deadline_seconds=DEADLINE_SECONDS), tenant)
        if end == "done":
            in_time = time.perf_counter() - started <= DEADLINE_SECONDS
            end = "done" if in_time else "late"
            per_tenant[tenant] += in_time
        ends[end] += 1

    started = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for n in range(number):
            await asyncio.sleep(max(0.0, started + n * every - time.perf_counter()))
            sending.create_task(one(n))
    took = time.perf_counter() - started
    shares = [per_tenant[f"tenant-{n}"] for n in range(TENANTS)]
    return {
        "sent": number,
        "ends": dict(ends),
        "seconds": round(took, 1),
        "goodput_to_capacity": round(ends["done"] / took / capacity, 3),
        "done_per_tenant": shares,
    }


async def measure(stack: Stack, rounds: int) -> dict[str, Any]:
    """Measure everything, one after the other."""
    settings = Settings()
    bare = BarePipeline(resolve(settings.model, settings.models_dir).path)
    api_url, worker_url = stack.url("imagegen"), stack.url("worker")
    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(base_url=api_url, timeout=120.0, limits=limits, trust_env=False) as api,
        httpx2.AsyncClient(base_url=worker_url, timeout=30.0, trust_env=False) as worker,
    ):
        compared = await compare(api, bare, rounds)
        capacity = median(compared["served_pictures_per_second"])
        return {
            "throughput": compared,
            "overhead": await overhead(api, worker, JOBS_ALONE),
            "goodput": await goodput(api, capacity),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "imagegen.json")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    before = os.getloadavg()
    results = with_own_system(lambda stack: asyncio.run(measure(stack, given.rounds)))
    record(given.out, results, load_average={"before": before, "after": os.getloadavg()})
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
