"""Choose from which probability of anger a person should take over, on GoEmotions.

    python -m training.gateway.anger --data DIR --emotions models/emotions --model models/router

Angry is a comment that annotators call anger, annoyance or disgust. The threshold is the lowest of dev's that calls for a person
without such a label in at most one of a hundred comments; test is reported, and the Russian translation of test, whose language the
shipped classifier was not trained for. Writes the `anger` section of report.json.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.gateway.escalation import ANGRY
from training.classifier.data import read_labels, read_split
from training.classifier.scores import predict
from training.exported import open_model
from training.minilm import base_tokenizer

MAX_TOKENS = 512
FALSE_CALLS = 0.01
LIMITS = np.arange(0.1, 0.95, 0.01)

Array = NDArray[np.float64]


def measure(angry: NDArray[np.bool_], scores: Array, limit: float) -> dict[str, Any]:
    """Return precision, recall and the share of calm comments that would call a person."""
    called = scores >= limit
    return {
        "rows": len(angry),
        "angry": int(angry.sum()),
        "precision": round(float((called & angry).sum() / max(1, called.sum())), 4),
        "recall": round(float((called & angry).sum() / angry.sum()), 4),
        "false_calls": round(float((called & ~angry).sum() / (~angry).sum()), 4),
    }


def choose(angry: NDArray[np.bool_], scores: Array) -> float:
    """Return the lowest limit with few enough false calls."""
    fitting = [x for x in LIMITS if ((scores >= x) & ~angry).sum() <= FALSE_CALLS * (~angry).sum()]
    return round(float(fitting[0]), 2)


def russian(data: Path) -> tuple[list[str], list[list[int]]]:
    """Return the texts and label numbers of the translated test half."""
    with gzip.open(data / "ru_goemotions_test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [[int(number) for number in row["labels"].strip("[]").split()] for row in rows]
    return [row["ru_text"] for row in rows], labels


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--emotions", type=Path, default=Path("models/emotions"))
    parser.add_argument("--model", type=Path, default=Path("models/router"))
    options = parser.parse_args(arguments)
    folder = options.data / "goemotions"
    names = read_labels(folder)
    columns = [names.index(name) for name in ANGRY]
    scorer = open_model(options.emotions, "onnx-int8", len(names), "mean")

    def scored(tokens: list[list[int]]) -> Array:
        found: Array = predict(scorer, tokens).numpy()[:, columns].max(axis=1)
        return found

    parts = {}
    for name in ("dev", "test"):
        split = read_split(folder, name, MAX_TOKENS)
        parts[name] = split.targets.numpy()[:, columns].max(axis=1) > 0, scored(split.tokens)
    texts, labels = russian(folder)
    tokens = [row.ids for row in base_tokenizer().encode_batch(texts)]
    angry = np.array([bool(set(row) & set(columns)) for row in labels])
    parts["test_in_russian"] = angry, scored(tokens)
    limit = choose(*parts["dev"])
    section = {"threshold": limit} | {n: measure(*part, limit) for n, part in parts.items()}
    path = options.model / "report.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | {"anger": section}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(section, indent=1))


if __name__ == "__main__":
    main()
