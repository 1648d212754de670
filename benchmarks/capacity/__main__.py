"""Answer how many replicas and GPUs a load needs: `python -m benchmarks.capacity`.

First it measures on the running system what each kind of request costs each process. Then it sends
the gateway's mix at half and at all that one machine can do and compares with the simulation of the
same. Last it simulates 100, 1,000 and 10,000 requests/s, and a spike of pictures that KEDA has to
absorb. Writes results/capacity.json.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx2

from benchmarks.capacity.costs import costs
from benchmarks.capacity.simulation import Scaling, absorb, cores_needed, serve
from benchmarks.setting import RESULTS, record, with_own_system
from local.stack import Stack
from tests.load.mixes import gateway
from tests.load.run import capacity

MIX = {"classify": 45.0, "answer": 30.0, "ask": 20.0, "draw": 5.0}
CORES = os.cpu_count() or 1
RATES = (100, 1_000, 10_000)
UTILISATION = 0.6  # of each core, so that a second replica may fail and bursts are borne
HALF = 0.5
REQUESTS = 80
# SDXL at 1024 x 1024, 28 to 30 steps, from publishers' own pages: docs/scale.md names them.
PICTURE_SECONDS = {"H100, bf16, compiled": 0.95, "A100, bf16, compiled": 2.5}
SPIKE = Scaling(target_seconds=20.0, start_seconds=90.0, least=1, most=64)


async def open_loop(url: str, rate: float, seconds: float) -> float:
    """Return the median seconds of the mix at a rate."""
    dice, took = random.Random(5), []
    async with httpx2.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:

        async def one() -> None:
            wish, started = gateway(dice), time.monotonic()
            answer = await client.post(wish.path, json=wish.body, headers={"Prefer": "wait=50"})
            if answer.is_success:
                took.append(time.monotonic() - started)

        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as sending:
            while time.monotonic() < ends:
                await asyncio.sleep(dice.expovariate(rate))
                sending.create_task(one())
    return median(took)


def validated(
    stack: Stack, measured: dict[str, dict[str, float]], seconds: float
) -> dict[str, Any]:
    """Compare the simulation of one machine, whose cores all processes share, with the machine."""
    url = stack.url("gateway")
    whole = sum(MIX.values())
    work = sum(MIX[kind] / whole * sum(measured[kind].values()) for kind in MIX)
    predicted = CORES / work
    real = asyncio.run(capacity("gateway", url, seconds))
    rate = HALF * real
    simulated = serve(measured, MIX, rate, {"machine": CORES}, seconds=120.0).percentile(50)
    half = asyncio.run(open_loop(url, rate, seconds))
    return {
        "most_per_second": {"simulated": round(predicted, 1), "real": round(real, 1)},
        "most_simulated_to_real": round(predicted / real, 2),
        "p50_ms_at_half": {"simulated": round(simulated * 1000, 1), "real": round(half * 1000, 1)},
        "p50_simulated_to_real": round(simulated / half, 2),
    }


def scale(measured: dict[str, dict[str, float]], rate: int) -> dict[str, Any]:
    """Return cores per service and GPUs for a rate of the mix, and the times to expect."""
    cores = cores_needed(measured, MIX, rate, UTILISATION)
    pictures = rate * MIX["draw"] / sum(MIX.values())
    texts = {kind: share for kind, share in MIX.items() if kind != "draw"}
    seconds = max(2.0, 20_000 / rate)
    outcome = serve(measured, texts, rate, cores | {"worker": 0}, seconds=seconds)
    return {
        "cores": {name: number for name, number in cores.items() if name != "worker"},
        "gpus": {
            name: round(pictures * each / UTILISATION + 0.5)
            for name, each in PICTURE_SECONDS.items()
        },
        "text_p50_ms": round(outcome.percentile(50) * 1000, 1),
        "text_p99_ms": round(outcome.percentile(99) * 1000, 1),
    }


def spike(picture_seconds: float, scaling: Scaling) -> list[dict[str, float]]:
    """Return how the workers follow when ten times as many pictures are ordered for 15 minutes."""
    usual = 0.5
    rates = [(0.0, usual), (300.0, 10 * usual), (1200.0, usual), (2700.0, usual)]
    return absorb(scaling, picture_seconds, rates)


def measure(stack: Stack, seconds: float) -> dict[str, Any]:
    """Measure, validate and answer."""
    measured = asyncio.run(costs(stack, REQUESTS))
    in_ms = {
        kind: {name: round(each * 1000, 2) for name, each in by.items()}
        for kind, by in measured.items()
    }
    return {
        "mix": MIX,
        "cpu_ms_per_request": in_ms,
        "validation": validated(stack, measured, seconds),
        "requests_per_second": {str(rate): scale(measured, rate) for rate in RATES},
        "spike": {name: spike(each, SPIKE) for name, each in PICTURE_SECONDS.items()},
        "spike_by_wait_alone": spike(1.0, replace(SPIKE, target_busy=None)),
        "scaling": vars(SPIKE),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each real run")
    parser.add_argument("--out", type=Path, default=RESULTS / "capacity.json")
    args = parser.parse_args(arguments)
    before = os.getloadavg()[0]
    results = with_own_system(lambda stack: measure(stack, args.seconds))
    record(args.out, results, load_average={"before": before, "after": os.getloadavg()[0]})
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
