"""Measure how well a tenant's own intents are learnt from a few phrases.

    python -m training.gateway.few_shot --model models/router --data DIR

Plays a tenant: ten intents of a public set that the router was not trained for, 3 to 20 phrases each. Measures the share of held-out
phrases that find their intent, and the share of the router's own messages that are taken from it by mistake. CLINC150's validation
half chooses the threshold (`--choose`); Banking77 and CLINC150's test half are reported. Writes the `own_intents` section of report.json.
"""

import argparse
import csv
import gzip
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.gateway.few_shot import THRESHOLD, Learner
from services.gateway.nearest import Vector
from services.gateway.router import Router
from training.gateway.evaluate import DATA, read
from training.gateway.public import CLINC

SHOTS = (3, 5, 10, 20)
DRAWS = 4
INTENTS = 10
HELD_OUT = 20
SEED = 3
SOURCES = ("clinc150", "banking77")

Sets = dict[str, dict[str, list[str]]]


def clinc(data: Path) -> tuple[Sets, Sets]:
    """Return the intents that no training row of the router comes from, halved into two sets."""
    with gzip.open(data / "intent" / "clinc_oos_full.json.gz", "rt", encoding="utf-8") as file:
        parts = json.load(file)
    used = {name for names in CLINC.values() for name in names.split()}
    grouped: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"train": [], "test": []})
    for part in ("train", "test"):
        for text, name in parts[part]:
            if name not in used:
                grouped[name][part].append(text)
    names = sorted(grouped)
    return {n: grouped[n] for n in names[::2]}, {n: grouped[n] for n in names[1::2]}


def banking(data: Path) -> Sets:
    """Return Banking77."""
    grouped: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"train": [], "test": []})
    for part in ("train", "test"):
        path = data / "intent" / f"banking77_{part}.csv.gz"
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for text, name in list(csv.reader(file))[1:]:
                grouped[name][part].append(" ".join(text.split()))
    return dict(grouped)


def play(
    router: Router,
    learner: Learner,
    sets: Sets,
    shots: int,
    others: list[Vector],
    rng: random.Random,
) -> Any:
    """Return scores (held-out messages, intents) with the right columns, and scores of the others."""
    names = rng.sample(sorted(sets), INTENTS)
    matcher = learner.learn([(n, rng.sample(sets[n]["train"], shots)) for n in names])
    held = [(i, t) for i, n in enumerate(names) for t in sets[n]["test"][:HELD_OUT]]
    right = np.array([i for i, _ in held])
    scores = np.array([matcher.scores(router.vector(t)) for _, t in held])
    false = np.array([matcher.scores(vector).max() for vector in others])
    return right, scores, false


def measure(
    router: Router, learner: Learner, sets: Sets, shots: int, others: list[Vector], limit: float
) -> dict[str, Any]:
    """Return the shares found, found wrongly and taken by mistake, over DRAWS tenants."""
    rng = random.Random(SEED)
    played = [play(router, learner, sets, shots, others, rng) for _ in range(DRAWS)]
    right = np.concatenate([r for r, _, _ in played])
    scores = np.concatenate([s for _, s, _ in played])
    false = np.concatenate([f for _, _, f in played])
    is_best = scores.argmax(axis=1) == right
    is_over = scores.max(axis=1) >= limit
    return {
        "phrases": shots,
        "found": round(float((is_best & is_over).mean()), 4),
        "found_wrongly": round(float((~is_best & is_over).mean()), 4),
        "right_if_one_must_be": round(float(is_best.mean()), 4),
        "taken_by_mistake": round(float((false >= limit).mean()), 4),
    }


def seed_messages(data: Path) -> list[str]:
    """Return the development messages in three languages, for choosing."""
    path = data / "intent" / "authored_router_seed.tsv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t")[3] for line in list(file)[1:]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report, or print what each threshold would give on the choosing half."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--choose", action="store_true", help="print thresholds on the choosing half"
    )
    options = parser.parse_args(arguments)
    router = Router.load(options.model)
    learner = Learner(router)
    choosing, reporting = clinc(options.data)
    if options.choose:
        others = [router.vector(text) for text in seed_messages(options.data)]
        for shots in SHOTS[1:3]:
            for limit in np.arange(0.1, 0.5, 0.05):
                print(
                    round(float(limit), 2),
                    measure(router, learner, choosing, shots, others, float(limit)),
                )
        return
    others = [router.vector(row["text"]) for row in read(DATA / "test.tsv")]
    sets = dict(zip(SOURCES, (reporting, banking(options.data)), strict=True))
    found = {
        name: [measure(router, learner, some, shots, others, THRESHOLD) for shots in SHOTS]
        for name, some in sets.items()
    }
    path = options.model / "report.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    section = {"threshold": THRESHOLD, "tenants": DRAWS, "intents": INTENTS, **found}
    path.write_text(json.dumps(known | {"own_intents": section}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(section, indent=1))


if __name__ == "__main__":
    main()
