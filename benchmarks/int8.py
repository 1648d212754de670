"""How much a classifier's INT8 graph changes: `python -m benchmarks.int8 --data DIR [--model REFERENCE]`.

Scores GoEmotions' test texts with both graphs of one model, each text alone and 32 in a batch as they would share one in the
service, and counts the decisions that differ: label by label at 0.5, at the model's own thresholds if it has them,
and the best label. DIR holds `goemotions/`; README.md says where from. Writes results/int8.json.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import read_emotions
from benchmarks.setting import RESULTS, record
from kit.onnx_model import Precision
from services.classifier.model import Classifier
from services.classifier.settings import Settings
from training.classifier.data import read_labels

BATCHES = (1, 32)

Scores = NDArray[np.float32]


def scores(classifier: Classifier, texts: Sequence[str], batch: int) -> Scores:
    """Return probabilities (texts, labels), computed `batch` texts at a time."""
    windows = classifier.windows(texts)
    order = sorted(range(len(texts)), key=lambda row: len(windows[row][0]))  # little padding
    found = np.zeros((len(texts), len(classifier.labels)), dtype=np.float32)
    for at in range(0, len(order), batch):
        rows = order[at : at + batch]
        logits = iter(classifier.read([window for row in rows for window in windows[row]]))
        for row in rows:
            found[row] = classifier.combine([next(logits) for _ in windows[row]])
    return found


def flips(exact: Scores, small: Scores, least: Scores) -> dict[str, float]:
    """Return which share of decisions, and of texts, differ; `least` are thresholds (labels,)."""
    differs = (exact >= least) != (small >= least)
    return {
        "decisions": rounded(differs.mean()),
        "texts": rounded(differs.any(axis=1).mean()),
        "labels_named_per_text": rounded((exact >= least).sum(axis=1).mean()),
    }


def compare(exact: Scores, small: Scores, thresholds: Scores | None) -> dict[str, Any]:
    """Return every difference of two graphs' probabilities."""
    gaps = np.abs(exact - small)
    half = np.full(exact.shape[1], 0.5, dtype=np.float32)
    found: dict[str, Any] = {
        "at_0.5": flips(exact, small, half),
        "best_label": rounded((exact.argmax(axis=1) != small.argmax(axis=1)).mean()),
        "mean_difference": round(float(gaps.mean()), 5),
        "greatest_difference": rounded(gaps.max()),
    }
    if thresholds is not None:
        found["calibrated"] = flips(exact, small, thresholds)
    return found


def rounded(value: float) -> float:
    return round(float(value), 4)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=Settings.model_fields["model"].default)
    parser.add_argument("--limit", type=int, help="texts; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "int8.json")
    options = parser.parse_args()
    folder = options.data / "goemotions"
    texts, _ = read_emotions(folder, len(read_labels(folder)), options.limit)

    def load(precision: Precision) -> Classifier:
        return Classifier.load(Settings(model=options.model, precision=precision, device="cpu"))

    full, small = load("fp32"), load("int8")
    if full.model.backend == small.model.backend:
        raise SystemExit(f"{options.model} has one graph alone: {full.model.backend}")
    exact = scores(full, texts, 32)
    own = full.thresholds
    thresholds = np.array([own[label] for label in full.labels], dtype=np.float32) if own else None
    results = {
        f"batches of {batch}": compare(exact, scores(small, texts, batch), thresholds)
        for batch in BATCHES
    }
    for name, found in results.items():
        print(name, found)
    record(options.out, results, model=options.model, revision=full.model.revision, rows=len(texts))


if __name__ == "__main__":
    main()
