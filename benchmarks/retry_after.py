"""Is the advice when to come back right? `python -m benchmarks.retry_after`.

A batcher, in this process and in real time, is given texts until one is refused. From then on one more text is tried again and
again: the moment of its admission is the truth that the advice is held against. Once with a model that sleeps for what
its batches cost, which a busy machine cannot slow down, and once with the classifier's own, whose pace is whatever the
machine leaves it. Writes results/retry_after.json.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

from benchmarks.setting import RESULTS, record
from kit.batching import Batcher
from kit.errors import Overloaded
from kit.metrics import Metrics
from services.classifier.app import SAMPLE
from services.classifier.model import Classifier
from services.classifier.settings import Settings

I = TypeVar("I")
O = TypeVar("O")

TIMES = 20
QUEUE_MS = 2000.0
TRIES = 200  # per advised time, so the truth is known to half a percent
WORDS = (
    "thanks",
    "for",
    "the",
    "help",
    "nobody",
    "thought",
    "that",
    "anyone",
    "would",
    "read",
    "it",
)
PER_BATCH, PER_TEXT, PER_TOKEN = 2e-3, 2e-4, 5e-5  # seconds, of the model that sleeps


def sleeping(lengths: list[int]) -> list[int]:
    """Take as long as a batch of texts of these lengths costs."""
    time.sleep(PER_BATCH + len(lengths) * (PER_TEXT + PER_TOKEN * max(lengths)))
    return lengths


async def refused(batcher: Batcher[I, O], inputs: Sequence[I]) -> tuple[float, float]:
    """Overload the queue; return the advice and how long the next admission really took."""
    tasks: list[asyncio.Task[O]] = []
    advised = await _overload(batcher, inputs, tasks)
    started = time.monotonic()
    while True:
        tried = time.monotonic() - started
        tasks.append(asyncio.create_task(batcher.submit(inputs[0])))
        await asyncio.sleep(advised / TRIES)
        if not (tasks[-1].done() and isinstance(tasks[-1].exception(), Overloaded)):
            break
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):  # what this clean-up took is not the model's pace
        await batcher.submit_many(inputs[:32])
    return advised, tried


async def _overload(
    batcher: Batcher[I, O], inputs: Sequence[I], tasks: list[asyncio.Task[O]]
) -> float:
    while True:
        tasks.append(asyncio.create_task(batcher.submit(random.choice(inputs))))
        await asyncio.sleep(0)
        error = tasks[-1].exception() if tasks[-1].done() else None
        if isinstance(error, Overloaded):
            return error.retry_after_seconds


async def rounds(
    run: Callable[[list[I]], Sequence[O]],
    tokens: Callable[[I], int],
    sample: Sequence[I],
    inputs: Sequence[I],
    times: int,
) -> dict[str, Any]:
    """Overload and wait, so many times."""
    batcher: Batcher[I, O] = Batcher(
        run, metrics=Metrics("benchmark"), tokens=tokens, max_queue_ms=QUEUE_MS
    )
    found = []
    async with batcher.running(sample):
        for _ in range(times):
            found.append(await refused(batcher, inputs))
    ratios = sorted(advised / max(actual, 1e-6) for advised, actual in found)
    tenths = quantiles(ratios, n=10)
    return {
        "advised_to_actual": {
            "median": round(median(ratios), 3),
            "tenth": round(tenths[0], 3),
            "ninetieth": round(tenths[-1], 3),
        },
        "within_30_percent": round(sum(1 / 1.3 <= ratio <= 1.3 for ratio in ratios) / times, 3),
        "rounds": [[round(advised, 3), round(actual, 3)] for advised, actual in found],
    }


async def measure(times: int) -> dict[str, Any]:
    """Measure both models."""
    random.seed(0)
    classifier = await asyncio.to_thread(Classifier.load, Settings())
    texts = [" ".join(random.choices(WORDS, k=random.randint(3, 40))) for _ in range(200)]
    sample, windows = (
        [window for group in classifier.windows(given) for window in group]
        for given in (SAMPLE, texts)
    )
    lengths = [len(window) for window in windows]
    return {
        "sleeping": await rounds(sleeping, lambda length: length, [12, 120], lengths, times),
        "classifier": await rounds(classifier.read, len, sample, windows, times),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "retry_after.json")
    parser.add_argument("--times", type=int, default=TIMES)
    given = parser.parse_args()
    before = os.getloadavg()
    results = asyncio.run(measure(given.times))
    load = {"before": before, "after": os.getloadavg()}
    record(given.out, results, load_average=load, times=given.times, queue_ms=QUEUE_MS)
    print("load average", load)
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
