"""Fit thresholds on dev and score test: `python -m training.classifier.evaluate --data DIR --model models/emotions`.

`--variant` chooses the torch model or one of the ONNX graphs; `--fit` writes thresholds.json first.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.classifier.data import Split, read_labels, read_split
from training.classifier.scores import best_thresholds, label_scores, predict, quality
from training.exported import VARIANTS, open_model
from training.recipe import seeded, update_report, write_json

MAX_TOKENS = 512


def fit_thresholds(probabilities: Tensor, split: Split, labels: list[str], out: Path) -> None:
    """Write the threshold per label with the best F1 on `split`."""
    values = best_thresholds(probabilities, split.targets).tolist()
    write_json(out, {label: round(value, 3) for label, value in zip(labels, values, strict=True)})


def measure(probabilities: Tensor, split: Split, thresholds: dict[str, float]) -> dict[str, Any]:
    """Return quality at 0.5 and at the calibrated thresholds, and F1 per label."""
    calibrated = torch.tensor(list(thresholds.values()))
    f1 = label_scores(probabilities, split.targets, calibrated)[2].tolist()
    per_label = {
        label: {"f1": round(value, 3), "support": int(support)}
        for label, value, support in zip(thresholds, f1, split.targets.sum(0).tolist(), strict=True)
    }
    return {
        "rows": len(split.texts),
        "at_0.5": quality(probabilities, split.targets, torch.tensor(0.5)),
        "calibrated": quality(probabilities, split.targets, calibrated),
        "calibrated_per_label": per_label,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("models/emotions"))
    parser.add_argument("--variant", choices=VARIANTS, default="onnx-int8")
    parser.add_argument("--fit", action="store_true", help="fit thresholds.json on dev first")
    parser.add_argument("--tiny", action="store_true", help="64 rows of each split")
    options = parser.parse_args(arguments)
    seeded(0)
    labels = read_labels(options.data)
    model = open_model(options.model, options.variant, len(labels), "mean")

    def scored(name: str) -> tuple[Split, Tensor]:
        split = read_split(options.data, name, MAX_TOKENS).head(64 if options.tiny else None)
        return split, predict(model, split.tokens)

    dev, dev_probabilities = scored("dev")
    path = options.model / "thresholds.json"
    if options.fit:
        fit_thresholds(dev_probabilities, dev, labels, path)
    thresholds = json.loads(path.read_text(encoding="utf-8"))
    test, test_probabilities = scored("test")
    measured = {
        "dev": measure(dev_probabilities, dev, thresholds),
        "test": measure(test_probabilities, test, thresholds),
    }
    update_report(options.model / "report.json", options.variant, measured)
    for name in ("dev", "test"):
        print(name, measured[name]["at_0.5"], measured[name]["calibrated"])


if __name__ == "__main__":
    main()
