"""How fast a model paints: `python -m benchmarks.painting [--model REF] [--device cuda] [--slots 1 2 4 8]`.

For each number of slots: pictures per second when all slots are always taken, and the seconds that a
picture takes that is alone. The slots take turns, round after round, so that whatever else the
machine does hits all of them alike; on a busy one, the processor's own seconds say more than the
clock. No queue, no HTTP. Writes results/painting.json.
"""

import argparse
import os
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.setting import RESULTS, record
from kit.models import resolve
from services.imagegen.painters import Painter, paint_all, sdxl
from services.imagegen.painters.device import Wanted
from services.imagegen.values import Drawing


def wishes(painter: Painter, number: int) -> list[Drawing]:
    """Return drawings with the model's own settings and seeds of their own."""
    card = painter.card
    own = card.model_dump(include={"width", "height", "steps", "guidance", "negative_prompt"})
    return [
        Drawing(prompt="a red circle above a blue square", seed=seed, count=1, **own)
        for seed in range(number)
    ]


def timed(painter: Painter, number: int) -> tuple[float, float]:
    """Return the seconds for so many pictures, by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    paint_all(painter, wishes(painter, number))
    return time.perf_counter() - clock, time.process_time() - processor


def measure(painters: dict[int, Painter], rounds: int, pictures: int) -> dict[str, Any]:
    """Return medians per number of slots."""
    numbers = {"full": pictures, "alone": 1}
    took: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for painter in painters.values():
        timed(painter, 1)  # loads the kernels
    for _ in range(rounds):
        for slots, painter in painters.items():
            for load, number in numbers.items():
                took[slots, load].append(timed(painter, number))

    def middle(slots: int, load: str, clock: int) -> float:
        return median(times[clock] for times in took[slots, load]) / numbers[load]

    return {
        f"{slots} slots": {
            "pictures_per_second": round(1 / middle(slots, "full", 0), 3),
            "seconds_alone": round(middle(slots, "alone", 0), 3),
            "processor_seconds_per_picture": round(middle(slots, "full", 1), 3),
            "processor_seconds_alone": round(middle(slots, "alone", 1), 3),
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
    models_dir = Path(".models")
    files = sdxl.gather(resolve(given.model, models_dir), models_dir)
    wanted = Wanted(given.device)
    painters: dict[int, Painter] = {
        slots: sdxl.load(files, wanted=wanted, threads=given.threads, batch_pictures=slots)
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
