"""Fit the router: logistic regression over pruned n-grams and request cues, calibrated on held-out phrases.

    python -m training.gateway.train --corpus build/router/corpus.tsv --out models/router [--tiny]

Dev rows come from templates and list entries that no train row uses. They set the temperature and the
threshold; the shipped weights are then fitted on train and dev together. Writes model.safetensors,
config.json and the `training` section of report.json.
"""

import argparse
import csv
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from services.gateway.features import CUES, cues, ngrams
from training.gateway.prepare import Row

INTENTS = ("draw", "blend", "classify", "answer", "ask", "write", "chat", "other")
FEATURES = 40_000  # with eight columns in fp16 the file stays below 1.5 MB
MIN_ROWS = 3
CUE_SCALE = 0.35  # a cue weighs as much as a common n-gram of a short message
STRENGTH = 20.0  # inverse regularisation
SEED = 7

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A linear model over a fixed vocabulary and the cues."""

    vocabulary: list[str]
    idf: Array
    weights: Array  # (features + cues, intents)
    bias: Array
    spanish: Array  # (features,) log odds of Spanish against English
    spanish_bias: float


def read(path: Path) -> list[Row]:
    """Read the corpus."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(split, language, intent, int(context), int(images), source, text)
            for split, language, intent, context, images, source, text in csv.reader(file, delimiter="\t")
        ]


def matrix(rows: list[Row], vocabulary: list[str], idf: Array) -> csr_matrix:
    """Return unit-length TF-IDF rows followed by the cue columns."""
    counter = CountVectorizer(analyzer=lambda row: ngrams(row.text).elements(), vocabulary=vocabulary)
    counts = counter.transform(rows).astype(np.float64)
    counts.data = 1 + np.log(counts.data)
    weighed = counts @ diags(idf)
    lengths = np.sqrt(weighed.multiply(weighed).sum(axis=1)).A1
    unit = diags(1 / np.maximum(lengths, 1e-9)) @ weighed
    return hstack([unit, _cue_matrix(rows)], format="csr")


def _cue_matrix(rows: list[Row]) -> csr_matrix:
    found = [cues(r.text, has_context=bool(r.has_context), images=r.images) for r in rows]
    starts = np.cumsum([0, *map(len, found)])
    values = np.full(starts[-1], CUE_SCALE)
    columns = np.array([c for row in found for c in row], dtype=np.int64)
    return csr_matrix((values, columns, starts), shape=(len(rows), len(CUES)))


def candidates(rows: list[Row]) -> tuple[list[str], Array]:
    """Return every n-gram seen in at least MIN_ROWS rows, with its smoothed idf."""
    seen: Counter[str] = Counter()
    for row in rows:
        seen.update(ngrams(row.text).keys())
    kept = sorted(gram for gram, count in seen.items() if count >= MIN_ROWS)
    document_counts = np.array([seen[gram] for gram in kept])
    return kept, np.log((1 + len(rows)) / (1 + document_counts)) + 1


def balance(rows: list[Row]) -> Array:
    """Weigh rows so that every language and intent counts the same."""
    sizes = Counter((row.language, row.intent) for row in rows)
    weights = np.array([1 / sizes[row.language, row.intent] for row in rows])
    return weights * len(rows) / weights.sum()


def regress(x: csr_matrix, labels: list[str], weights: Array) -> tuple[Array, Array]:
    """Fit a multinomial logistic regression; columns in the order of INTENTS."""
    model = LogisticRegression(C=STRENGTH, max_iter=150, tol=1e-3)
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


def select(rows: list[Row], keep: int) -> tuple[list[str], Array]:
    """Return the pruned vocabulary and its idf, from a first fit on all candidates."""
    vocabulary, idf = candidates(rows)
    x = matrix(rows, vocabulary, idf)
    weights, _ = regress(x, [row.intent for row in rows], balance(rows))
    chosen = prune(x, weights, keep)
    return [vocabulary[i] for i in chosen], idf[chosen]


def fit(rows: list[Row], vocabulary: list[str], idf: Array) -> Fitted:
    """Fit intents and language over a given vocabulary."""
    x = matrix(rows, vocabulary, idf)
    weights, bias = regress(x, [row.intent for row in rows], balance(rows))
    return Fitted(vocabulary, idf, weights, bias, *spanish_column(rows, x))


def logits(model: Fitted, rows: list[Row]) -> Array:
    """Return (rows, intents) before temperature."""
    scores: Array = matrix(rows, model.vocabulary, model.idf) @ model.weights + model.bias
    return scores


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


def threshold(probabilities: Array, right: NDArray[np.int64], weights: Array) -> tuple[float, float]:
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
        "cue_weights": (model.weights[grams:] * CUE_SCALE).astype(np.float32),
        "bias": model.bias.astype(np.float32),
        "spanish": model.spanish.astype(np.float16),
        "spanish_bias": np.array([model.spanish_bias], dtype=np.float32),
    }
    # safetensors writes memory as it lies, so a transposed array would come back scrambled
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, out / "model.safetensors")
    config = {"format": 1, "intents": INTENTS, "cues": CUES, "temperature": round(heat, 4), "threshold": limit}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def calibrate(model: Fitted, rows: list[Row]) -> tuple[float, float, dict[str, Any]]:
    """Return temperature, threshold and what was measured on the dev rows."""
    right = np.array([INTENTS.index(row.intent) for row in rows])
    weights = balance(rows)
    scores = logits(model, rows)
    heat = temperature(scores, right, weights)
    limit, reached = threshold(softmax(scores / heat), right, weights)
    return heat, limit, {"rows": len(rows), "accuracy": round(reached, 4), "temperature": round(heat, 4), "threshold": limit}


def main() -> None:
    """Select, calibrate, refit and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="a tenth of the features, for CI")
    options = parser.parse_args()
    started = time.process_time()
    rows = read(options.corpus)
    train = [row for row in rows if row.split == "train"]
    dev = [row for row in rows if row.split == "dev"]
    keep = FEATURES // 10 if options.tiny else FEATURES
    vocabulary, idf = select(train, keep)
    heat, limit, measured = calibrate(fit(train, vocabulary, idf), dev)
    print("dev", measured, flush=True)
    save(fit(rows, *select(rows, keep)), options.out, heat, limit)
    report = {"rows": len(rows), "features": keep, "dev": measured, "cpu_seconds": round(time.process_time() - started)}
    path = options.out / "report.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | {"training": report}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
