"""How fast a model paints: `python -m benchmarks.painting [--model REF] [--device cuda] [--slots 1 2 4 8]`.

For each number of slots: pictures per second when all slots are always taken, and the seconds that a
picture takes that is alone. The slots take turns, round after round, so that whatever else the
machine does hits all of them alike. No queue, no HTTP. Writes results/painting.json.
"""

import argparse
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.setting import RESULTS, record
from kit.models import resolve
from services.imagegen.painters import Painter, paint_all, sdxl
from services.imagegen.schemas import Drawing


def wishes(painter: Painter, number: int) -> list[Drawing]:
    """Return drawings with the model's own settings and seeds of their own."""
    card = painter.card
    own = card.model_dump(include={"width", "height", "steps", "guidance", "negative_prompt"})
    return [
        Drawing(prompt="a red circle above a blue square", seed=seed, count=1, **own)
        for seed in range(number)
    ]


def seconds(painter: Painter, number: int) -> float:
    """Return the time for so many pictures."""
    started = time.perf_counter()
    paint_all(painter, wishes(painter, number))
    return time.perf_counter() - started


def measure(painters: dict[int, Painter], rounds: int, pictures: int) -> dict[str, Any]:
    """Return medians per number of slots."""
    took: dict[int, list[float]] = {slots: [] for slots in painters}
    alone: dict[int, list[float]] = {slots: [] for slots in painters}
    for painter in painters.values():
        seconds(painter, 1)  # loads the kernels
    for _ in range(rounds):
        for slots, painter in painters.items():
            took[slots].append(seconds(painter, pictures) / pictures)
            alone[slots].append(seconds(painter, 1))
    return {
        f"{slots} slots": {
            "pictures_per_second": round(1 / median(took[slots]), 3),
            "seconds_alone": round(median(alone[slots]), 3),
        }
        for slots in painters
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded:tiny-sdxl")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=16, help="per round, under full load")
    parser.add_argument("--out", type=Path, default=RESULTS / "painting.json")
    given = parser.parse_args()
    model = resolve(given.model, Path(".models"))
    painters: dict[int, Painter] = {
        slots: sdxl.load(model, device=given.device, threads=given.threads, batch_pictures=slots)
        for slots in given.slots
    }
    results = measure(painters, given.rounds, given.pictures)
    card = next(iter(painters.values())).card
    about = card.model_dump(include={"model", "revision", "backend", "steps", "width", "height"})
    load = round(os.getloadavg()[0], 1)
    record(given.out, results, painter=about, threads=given.threads, load_average=load)
    print(results)


if __name__ == "__main__":
    main()
