"""Fit and measure zero-shot labels: `python -m benchmarks.zero_shot --data DIR [--template "{}"]`.

`DIR/intent` holds CLINC150 (github.com/clinc/oos-eval, CC BY 3.0): `clinc_oos_full.json.gz` and `clinc_domains.json`.
900 rows of `val` fit the temperature and the sigmoid of services/classifier/model.py, 900 of `test` measure.
Two tasks: which of 10 intents (the right one and 9 drawn), which of the 10 domains.
"""

import argparse
import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from kit.models import resolve
from kit.onnx_model import OnnxText

ROWS, CANDIDATES, BATCH = 900, 10, 32
TEMPERATURES = np.arange(0.02, 0.2, 0.01)

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--template", default="{}")
    parser.add_argument("--models", type=Path, default=Path(".models"))
    options = parser.parse_args()
    model = OnnxText(resolve("embedded:minilm", options.models))
    with gzip.open(options.data / "intent/clinc_oos_full.json.gz") as file:
        splits = json.load(file)
    domains = json.loads((options.data / "intent/clinc_domains.json").read_text())
    draw = random.Random(0)
    fitted, held_out = (
        tasks(model, draw.sample(splits[name], ROWS), domains, options.template)
        for name in ("val", "test")
    )
    values = fit(fitted)
    print({name: round(value, 3) for name, value in values.items()})
    print({name: round(value, 3) for name, value in measure(held_out, values["midpoint"]).items()})


if __name__ == "__main__":
    main()
