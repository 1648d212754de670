"""Fit the router: a linear model and a small network over n-grams and cues, calibrated on held-out phrases.

    python -m training.gateway.train --corpus build/router/corpus.tsv --out models/router [--tiny]

Dev rows come from templates and list entries that no train row uses. They set the temperature and the
threshold; the shipped weights are then fitted on train and dev together. Writes model.safetensors,
config.json, phrases.tsv and the `training` section of report.json.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no types

from services.gateway.features import CUES
from services.gateway.router import FORMAT
from training.gateway.network import Layers, fit_layers
from training.gateway.prepare import Row
from training.gateway.table import CUE_BOOST, LONGEST, Table, balance, read

INTENTS = ("draw", "blend", "classify", "answer", "ask", "write", "chat", "other")
FEATURES = 40_000  # with 72 columns in fp16 the file stays below 7 MB
STRENGTH = 0.5  # inverse regularisation
# Every row counts once as it is and COPIES times with this share of its features missing: a decision must
# not hang on one word, for the next phrase will have another (feature noising, van der Maaten et al. 2013).
MISSING = 0.3
COPIES = 2
SEED = 7

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A linear model and a network over a fixed vocabulary and the cues; their scores are added."""

    vocabulary: list[str]
    idf: Array
    weights: Array  # (features + cues, intents)
    bias: Array
    spanish: Array  # (features,) log odds of Spanish against English
    spanish_bias: float
    layers: Layers

    def scores(self, x: csr_matrix) -> Array:
        """Return (rows, intents), before the temperature."""
        found: Array = x @ self.weights + self.bias + self.layers.scores(x)
        return found


def noised(x: csr_matrix) -> csr_matrix:
    """Return the rows once whole and COPIES times with features missing."""
    rng = np.random.default_rng(SEED)
    parts = [x]
    for _ in range(COPIES):
        part = x.copy()
        part.data = part.data * (rng.random(len(part.data)) >= MISSING)
        part.eliminate_zeros()
        parts.append(part)
    return vstack(parts, format="csr")


def regress(x: csr_matrix, labels: list[str], weights: Array) -> tuple[Array, Array]:
    """Fit a multinomial logistic regression; columns in the order of INTENTS."""
    model = LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3)
    with threadpool_limits(1):  # vector operations this small only wait for their threads
        model.fit(x, labels, sample_weight=weights)
    order = [list(model.classes_).index(intent) for intent in INTENTS]
    return model.coef_[order].T, model.intercept_[order]


def prune(x: csr_matrix, weights: Array, keep: int) -> NDArray[np.int64]:
    """Choose the n-grams that move decisions most: spread of the weights times the mean square value."""
    grams = x.shape[1] - len(CUES)
    spread = np.std(weights[:grams], axis=1)
    energy = np.sqrt(np.asarray(x[:, :grams].multiply(x[:, :grams]).sum(axis=0)).ravel())
    return np.sort(np.argsort(-spread * energy)[:keep])


def spanish_column(rows: list[Row], x: csr_matrix) -> tuple[Array, float]:
    """Fit Spanish against English on the same n-grams."""
    latin = [i for i, row in enumerate(rows) if row.language != "ru" and row.source != "gibberish"]
    model = LogisticRegression(C=STRENGTH, max_iter=60, tol=1e-3)
    model.fit(x[latin][:, : -len(CUES)], [rows[i].language == "es" for i in latin])
    return model.coef_[0], float(model.intercept_[0])


def fit(table: Table, keep: int) -> tuple[Fitted, NDArray[np.int64]]:
    """Choose the n-grams by a first fit on all of them, then fit intents and language on those kept."""
    labels, weights = [row.intent for row in table.rows], balance(table.rows)
    x = table.features(table.idf())
    chosen = prune(x, regress(x, labels, weights)[0], keep)
    small = table.with_grams(chosen)
    idf = small.idf()
    x = small.features(idf)
    share = np.tile(weights / (1 + COPIES), 1 + COPIES)
    coefficients, bias = regress(noised(x), labels * (1 + COPIES), share)
    layers = fit_layers(x, np.array([INTENTS.index(n) for n in labels]), weights, len(INTENTS))
    # Either says as much as the other: their scores get the same spread before they are added.
    ratio = float(np.std(x @ coefficients + bias) / np.std(layers.scores(x)))
    scaled = replace(layers, out=layers.out * ratio, out_bias=layers.out_bias * ratio)
    spanish = spanish_column(table.rows, x)
    return Fitted(list(small.vocabulary), idf, coefficients, bias, *spanish, scaled), chosen


def softmax(scores: Array) -> Array:
    """Return probabilities over the last axis."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def temperature(scores: Array, right: NDArray[np.int64], weights: Array) -> float:
    """Return the temperature with the lowest weighted negative log likelihood (Guo et al. 2017)."""

    def loss(t: float) -> float:
        chosen = softmax(scores / t)[np.arange(len(right)), right]
        return float(-(weights * np.log(chosen + 1e-12)).sum())

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def threshold(
    probabilities: Array, right: NDArray[np.int64], weights: Array
) -> tuple[float, float]:
    """Return the abstention threshold with the best weighted accuracy, and that accuracy.

    `other` is right when nothing reaches the threshold. Among near equals (0.2 points) the highest wins:
    a wrong service costs a person more than a question back.
    """
    inside = probabilities[:, :-1]
    best, choice = inside.max(axis=1), inside.argmax(axis=1)
    other = len(INTENTS) - 1

    def accuracy(limit: float) -> float:
        decided = np.where((best >= limit) & (best >= probabilities[:, other]), choice, other)
        return float(weights[decided == right].sum() / weights.sum())

    limits = np.arange(0.2, 0.8, 0.01)
    reached = np.array([accuracy(limit) for limit in limits])
    at = int(np.flatnonzero(reached >= reached.max() - 0.002)[-1])
    return round(float(limits[at]), 2), float(reached[at])


def save(model: Fitted, out: Path, heat: float, limit: float) -> None:
    """Write the weights (fp16) with the vocabulary as bytes beside them, and the configuration."""
    out.mkdir(parents=True, exist_ok=True)
    grams = len(model.vocabulary)
    tensors = {
        "vocabulary": np.frombuffer("\n".join(model.vocabulary).encode(), dtype=np.uint8).copy(),
        "idf": model.idf.astype(np.float16),
        "weights": model.weights[:grams].astype(np.float16),
        "cue_weights": (model.weights[grams:] * CUE_BOOST).astype(np.float32),
        "bias": model.bias.astype(np.float32),
        "hidden": model.layers.hidden[:grams].astype(np.float16),
        "cue_hidden": (model.layers.hidden[grams:] * CUE_BOOST).astype(np.float32),
        "hidden_bias": model.layers.hidden_bias.astype(np.float32),
        "out": model.layers.out.astype(np.float32),
        "out_bias": model.layers.out_bias.astype(np.float32),
        "spanish": model.spanish.astype(np.float16),
        "spanish_bias": np.array([model.spanish_bias], dtype=np.float32),
    }
    # safetensors writes memory as it lies, so a transposed array would come back scrambled
    save_file(
        {name: np.ascontiguousarray(t) for name, t in tensors.items()}, out / "model.safetensors"
    )
    config = {
        "format": FORMAT,
        "intents": INTENTS,
        "cues": CUES,
        "longest": LONGEST,
        "temperature": round(heat, 4),
        "threshold": limit,
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def calibrate(model: Fitted, dev: Table) -> tuple[float, float, dict[str, Any]]:
    """Return temperature, threshold and what was measured on the dev rows."""
    right = np.array([INTENTS.index(row.intent) for row in dev.rows])
    weights = balance(dev.rows)
    scores = model.scores(dev.features(model.idf))
    heat = temperature(scores, right, weights)
    limit, reached = threshold(softmax(scores / heat), right, weights)
    return heat, limit, {"rows": len(right), "accuracy": round(reached, 4)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate on dev, fit on everything and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="a tenth of the features, for CI")
    options = parser.parse_args(arguments)
    started = time.process_time()
    table = Table.of(read(options.corpus))
    keep = FEATURES // 10 if options.tiny else FEATURES
    model, chosen = fit(table.part("train"), keep)
    heat, limit, measured = calibrate(model, table.part("dev").with_grams(chosen))
    print("dev", measured, "temperature", heat, "threshold", limit, flush=True)
    save(fit(table, keep)[0], options.out, heat, limit)
    phrases = options.corpus.with_name("phrases.tsv")
    if phrases.parent != options.out:
        shutil.copyfile(phrases, options.out / "phrases.tsv")
    report = {
        "rows": len(table.rows),
        "features": keep,
        "dev": measured,
        "cpu_seconds": round(time.process_time() - started),
    }
    path = options.out / "report.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | {"training": report}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
