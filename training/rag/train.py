"""Fit the learned ranker on the tables of `prepare`.

python -m training.rag.train --work FOLDER --out models/rag-ranker
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.rag import features
from services.rag.ranker import FILE
from training.rag import forest

DEV_SHARE = 10  # one training question in so many measures and does not train


def read(file: Path) -> dict[str, NDArray[Any]]:
    """Return one table."""
    with np.load(file) as content:
        return {name: content[name] for name in content.files}


def first_places(
    scores: NDArray[np.float64], is_right: NDArray[np.bool_], question: NDArray[np.int32]
) -> float:
    """Return for which share of the questions with a right candidate that one scores best."""
    right = []
    for number in np.unique(question):
        own = question == number
        if is_right[own].any():
            right.append(bool(is_right[own][np.argmax(scores[own])]))
    return float(np.mean(right)) if right else 0.0


def run(work: Path, out: Path) -> dict[str, Any]:
    """Fit, write the file and return the report."""
    tables = {
        file.stem.removeprefix("table-"): read(file) for file in sorted(work.glob("table-*.npz"))
    }
    is_dev = {name: table["question"] % DEV_SHARE == 0 for name, table in tables.items()}
    rows = np.concatenate([table["rows"][~is_dev[name]] for name, table in tables.items()])
    is_right = np.concatenate([table["is_right"][~is_dev[name]] for name, table in tables.items()])
    started = time.perf_counter()
    trees = forest.fitted(rows, is_right)
    seconds = time.perf_counter() - started
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).write_bytes(trees.to_bytes())
    fused = features.NAMES.index("fused")
    report: dict[str, Any] = {
        "examples": len(rows),
        "right": int(is_right.sum()),
        "trees": len(trees.roots),
        "nodes": len(trees.feature),
        "seconds": round(seconds, 1),
        "dev_first_of_found": {},
    }
    for name, table in tables.items():
        dev = is_dev[name]
        found, right, question = (table[key][dev] for key in ("rows", "is_right", "question"))
        report["dev_first_of_found"][name] = {
            "questions": len(np.unique(question)),
            "fused": round(first_places(found[:, fused], right, question), 4),
            "ranked": round(first_places(trees.probabilities(found), right, question), 4),
        }
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def main() -> None:
    """Read the arguments and run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--out", type=Path, default=Path("models/rag-ranker"))
    given = arguments.parse_args()
    print(json.dumps(run(given.work, given.out), indent=1))


if __name__ == "__main__":
    main()
