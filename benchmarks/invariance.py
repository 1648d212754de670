"""Does company change a picture? `python -m benchmarks.invariance [--model REF] [--device cuda] [--slots 4]`.

The tests prove it for a processor; kernels of a graphics card may choose differently, so the same is
tried there: drawings of all samplers, several guidances, lengths and negative prompts are painted
alone, and then again and again in company that comes and goes at random steps. Every picture must
have the same bytes. Ends with status 1, and says by how much they differ, when one has not.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from benchmarks.setting import RESULTS, record
from kit.models import resolve
from services.imagegen.painters import Change, Painter, Step, paint_all, sdxl
from services.imagegen.painters.device import Wanted
from services.imagegen.values import Card, Drawing, Scheduler

PROMPTS = ("a red circle", "a blue square above a green star", "a house", "1girl, umbrella, rain")
SAMPLERS = (None, *Scheduler)


def wishes(card: Card, number: int, steps: int) -> list[Drawing]:
    """Return drawings that differ in everything that may differ inside a batch."""
    return [
        Drawing(
            prompt=PROMPTS[n % len(PROMPTS)],
            negative_prompt=("", "blurry")[n % 2],
            width=card.width,
            height=card.height,
            steps=max(1, steps - 2 * (n % 4)),
            guidance=(1.0, card.guidance, 12.0)[n % 3],
            seed=1000 + n,
            count=1,
            scheduler=SAMPLERS[n % len(SAMPLERS)],
        )
        for n in range(number)
    ]


def paint_in_company(
    painter: Painter, drawings: Sequence[Drawing], chance: random.Random
) -> dict[int, Image]:
    """Paint in a random order, joining and leaving at random steps; return who was finished."""
    order = chance.sample(range(len(drawings)), len(drawings))
    first = chance.randint(1, painter.card.slots)
    waiting = order[first:]
    finished: dict[int, Image] = {}

    def on_step(step: Step) -> Change:
        for error in step.failed.values():
            raise error
        for number, painted in step.finished.items():
            finished[order[number]] = painted.pictures[0]
        leaving = [number for number in step.progress if chance.random() < 0.02]
        # Whoever is last on the easel brings the next along, or the painting would end.
        joining = waiting[: chance.randint(0, 2) or (step.room == painter.card.slots)]
        del waiting[: len(joining)]
        return Change(leaving, [drawings[number] for number in joining])

    painter.paint([drawings[number] for number in order[:first]], {}, on_step)
    return finished


def measure(painter: Painter, drawings: Sequence[Drawing], trials: int) -> dict[str, Any]:
    """Compare every picture painted in company with the one painted alone."""
    alone = [np.asarray(paint_all(painter, [each])[0].pictures[0], int) for each in drawings]
    chance = random.Random(0)
    compared, different, largest = 0, 0, 0
    for _ in range(trials):
        for number, picture in paint_in_company(painter, drawings, chance).items():
            difference = int(np.abs(np.asarray(picture, int) - alone[number]).max())
            compared += 1
            different += difference > 0
            largest = max(largest, difference)
    return {"compared": compared, "different": different, "largest_difference": largest}


def main() -> int:
    """Try it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded:tiny-sdxl")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--drawings", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "invariance.json")
    given = parser.parse_args()
    models_dir = Path(".models")
    files = sdxl.gather(resolve(given.model, models_dir), models_dir)
    painter = sdxl.load(
        files, wanted=Wanted(given.device), threads=given.threads, batch_pictures=given.slots
    )
    drawings = wishes(painter.card, given.drawings, given.steps)
    results = measure(painter, drawings, given.trials)
    record(given.out, results, painter=painter.card.model_dump(exclude={"vocabulary", "note"}))
    print(results)
    return 1 if results["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
