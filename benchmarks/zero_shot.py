"""Fit and measure zero-shot labels: `python -m benchmarks.zero_shot --data DIR [--template "{}"]`.

`DIR/intent` holds CLINC150, BANKING77 and HWU64; README.md says where from. 900 rows of CLINC150's `val` fit the
temperature and the sigmoid of services/classifier/model.py, 900 of its `test` measure: which of 10 intents (the right one
and 9 drawn), which of the 10 domains. Of the other two sets nothing was fitted: which of BANKING77's 77 intents, which
of HWU64's 18 scenarios, on their whole test sets. Writes results/zero_shot.json.
"""

import argparse
import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from benchmarks.setting import RESULTS, record
from kit.models import resolve
from kit.onnx_model import OnnxText

ROWS, CANDIDATES, BATCH = 900, 10, 32
TEMPERATURES = np.arange(0.02, 0.2, 0.01)

# What a person would call the scenarios whose names are abbreviations.
SCENARIOS = {
    "datetime": "date and time",
    "general": "small talk",
    "iot": "smart home devices",
    "play": "playing radio, podcasts or games",
    "qa": "general knowledge question",
    "social": "social media",
    "takeaway": "ordering takeaway food",
}

Array = NDArray[Any]


def embed(model: OnnxText, texts: list[str]) -> Array:
    """Return unit vectors (texts, width)."""
    parts = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    rows = [model.run(model.tokenizer.encode_batch(part))["sentence_embedding"] for part in parts]
    return np.concatenate(rows)


def tasks(
    model: OnnxText, rows: list[tuple[str, str]], domains: dict[str, list[str]], template: str
) -> dict[str, tuple[Array, Array]]:
    """Return cosines (rows, candidates) and the right candidate (rows,) of each task."""

    def sentences(labels: list[str]) -> Array:
        return embed(model, [template.replace("{}", label.replace("_", " ")) for label in labels])

    draw = random.Random(1)
    texts = embed(model, [text for text, _ in rows])
    intents = sorted(intent for group in domains.values() for intent in group)
    chosen = [
        [label, *draw.sample([i for i in intents if i != label], CANDIDATES - 1)]
        for _, label in rows
    ]
    known = dict(zip(intents, sentences(intents), strict=True))
    cosines = [
        [float(text @ known[name]) for name in names]
        for text, names in zip(texts, chosen, strict=True)
    ]
    names = sorted(domains)
    right = [
        next(at for at, name in enumerate(names) if label in domains[name]) for _, label in rows
    ]
    return {
        "1 of 10 intents": (np.array(cosines), np.zeros(len(rows), dtype=int)),
        "1 of 10 domains": (texts @ sentences(names).T, np.array(right)),
    }


def loss(cosines: Array, right: Array, temperature: float) -> float:
    """Return the mean negative log probability of the right candidate."""
    logits = cosines / temperature
    return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(right)), right]))


def fit(found: dict[str, tuple[Array, Array]]) -> dict[str, float]:
    """Return the temperature, and the sigmoid's midpoint and slope, for both tasks together."""
    totals = [
        sum(loss(*task, temperature) for task in found.values()) for temperature in TEMPERATURES
    ]
    cosines = np.concatenate([task[0].ravel() for task in found.values()])
    model = LogisticRegression(C=1e6).fit(cosines[:, None], pairs(found))
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    best = float(TEMPERATURES[int(np.argmin(totals))])
    return {"temperature": best, "midpoint": -offset / slope, "slope": slope}


def pairs(found: dict[str, tuple[Array, Array]]) -> Array:
    """Return for each text and candidate whether it is the right one."""
    return np.concatenate([np.eye(task[0].shape[1])[task[1]].ravel() for task in found.values()])


def measure(found: dict[str, tuple[Array, Array]], midpoint: float) -> dict[str, float]:
    """Return accuracy per task, and F1 of the candidates over the midpoint."""
    result = {name: float((task[0].argmax(1) == task[1]).mean()) for name, task in found.items()}
    chosen = np.concatenate([task[0].ravel() for task in found.values()]) > midpoint
    hits = float((chosen * pairs(found)).sum())
    return result | {"multi-label F1": 2 * hits / float(chosen.sum() + pairs(found).sum())}


def banking77(folder: Path) -> list[tuple[str, str]]:
    """Return the test set's texts, each with its intent in words."""
    rows = csv.DictReader(io.StringIO(unpacked(folder / "banking77_test.csv.gz"), newline=""))
    return [(row["text"], row["category"].replace("_", " ").lower()) for row in rows]


def hwu64(folder: Path) -> list[tuple[str, str]]:
    """Return the first fold's test texts, each with its scenario in words."""
    lines = unpacked(folder / "hwu64_fold1_test.tsv.gz").splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    names = [intent.partition("_")[0] for intent, _ in rows]
    return [(row[1], SCENARIOS.get(name, name)) for row, name in zip(rows, names, strict=True)]


def unpacked(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def name_each(model: OnnxText, rows: list[tuple[str, str]], template: str) -> dict[str, float]:
    """Return how often the closest of all labels is the right one; the best three also count."""
    names = sorted({label for _, label in rows})
    labels = embed(model, [template.replace("{}", name) for name in names])
    cosines = embed(model, [text for text, _ in rows]) @ labels.T
    right = np.array([names.index(label) for _, label in rows])
    ranked = np.argsort(-cosines, axis=1)
    return {
        "rows": len(rows),
        "labels": len(names),
        "accuracy": rounded((ranked[:, 0] == right).mean()),
        "among_best_3": rounded((ranked[:, :3] == right[:, None]).any(axis=1).mean()),
        "macro_f1": rounded(f1_score(right, ranked[:, 0], average="macro")),
    }


def rounded(value: float) -> float:
    return round(float(value), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--template", default="{}")
    parser.add_argument("--model", default="embedded:minilm")
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--out", type=Path, default=RESULTS / "zero_shot.json")
    options = parser.parse_args()
    model = OnnxText(resolve(options.model, options.models))
    folder = options.data / "intent"
    splits = json.loads(unpacked(folder / "clinc_oos_full.json.gz"))
    domains = json.loads((folder / "clinc_domains.json").read_text())
    draw = random.Random(0)
    fitted, held_out = (
        tasks(model, draw.sample(splits[name], ROWS), domains, options.template)
        for name in ("val", "test")
    )
    values = fit(fitted)
    clinc = measure(held_out, values["midpoint"])
    results = {
        "fitted": {name: rounded(value) for name, value in values.items()},
        "CLINC150": {name: rounded(value) for name, value in clinc.items()},
        "BANKING77": name_each(model, banking77(folder), options.template),
        "HWU64 scenarios": name_each(model, hwu64(folder), options.template),
    }
    for name, found in results.items():
        print(name, found)
    record(options.out, results, model=options.model, template=options.template)


if __name__ == "__main__":
    main()
