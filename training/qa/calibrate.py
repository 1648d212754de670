"""Fit what scores promise, per language: `python -m training.qa.calibrate --data DIR --model models/qa`.

One half of XQuAD's articles fits a sigmoid over the log odds of the best passage's share, the other half measures it;
which passage is chosen does not change. An answer counts as right from F1 0.5 on. `--fit` writes `score_calibration` to config.json.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from kit import minilm
from kit.models import LocalModel
from kit.onnx_model import OnnxText
from services.qa.calibration import Calibration, log_odds
from services.qa.model import Reader, answers
from training.minilm import base_dir
from training.qa.data import Example, read_xquad
from training.qa.evaluate import LANGUAGES, UNANSWERABLE_ROWS
from training.qa.scores import f1
from training.qa.train import SEED, split, unanswerable
from training.recipe import seeded, update_report, write_json

RIGHT = 0.5  # F1 from which an answer names the right thing
BINS = 10

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The shares of best passages, and whether each is right."""

    shares: Array
    right: Array

    def take(self, rows: NDArray[np.bool_]) -> "Judged":
        """Return some of the rows."""
        return Judged(self.shares[rows], self.right[rows])


def open_reader(folder: Path, scratch: Path) -> Reader:
    """Load the INT8 graph as the service does, built from the adapter in `folder`."""
    minilm.build(base_dir(), folder, scratch / "model")
    return Reader(OnnxText(LocalModel("qa", "calibrated", scratch / "model")))


def judge(reader: Reader, examples: Sequence[Example]) -> Judged:
    """Answer every question and compare with the references."""
    shares, right = [], []
    for example in examples:
        read = reader.read(reader.windows(example.question, example.context))
        found, _ = answers(read, example.context, 1)
        for span, share in found:
            text = example.context[span.start : span.end]
            references = [reference for reference, _ in example.answers]
            shares.append(share)
            right.append(bool(references) and f1(text, references, example.lang) >= RIGHT)
    return Judged(np.array(shares), np.array(right, dtype=float))


def half_of_the_articles(examples: Sequence[Example]) -> NDArray[np.bool_]:
    """Mark the questions of every second article, in order of their titles."""
    titles = sorted({example.title for example in examples})
    return np.array([titles.index(example.title) % 2 == 0 for example in examples])


def fit(judged: Judged) -> list[float]:
    """Return slope and offset of the sigmoid with the greatest likelihood, with Platt's targets."""
    odds = np.array([[log_odds(share)] for share in judged.shares])
    right, wrong = judged.right.sum(), (1 - judged.right).sum()
    # Not quite 1 and 0, so that few rows, or rows of one kind, do not promise certainty.
    targets = np.where(judged.right == 1, (right + 1) / (right + 2), 1 / (wrong + 2))
    classes = np.repeat([1, 0], len(odds))
    weights = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(C=1e6).fit(np.tile(odds, (2, 1)), classes, weights)
    return [round(float(model.coef_[0, 0]), 3), round(float(model.intercept_[0]), 3)]


def calibration_error(scores: Array, right: Array) -> float:
    """Return how far scores are from the share of right answers: ECE over ten bins of equal width."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = [
        abs(scores[bins == number].mean() - right[bins == number].mean()) * (bins == number).mean()
        for number in np.unique(bins)
    ]
    return float(np.sum(gaps))


def measure(judged: Judged, calibration: Calibration, lang: str) -> dict[str, float]:
    """Return the error of shares as they are, and of scores."""
    scores = np.array([calibration.score(share, lang) for share in judged.shares])
    return {
        "rows": len(scores),
        "right": round(float(judged.right.mean()), 3),
        "mean_share": round(float(judged.shares.mean()), 3),
        "mean_score": round(float(scores.mean()), 3),
        "ece_of_shares": round(calibration_error(judged.shares, judged.right), 3),
        "ece_of_scores": round(calibration_error(scores, judged.right), 3),
        "brier_of_shares": round(float(((judged.shares - judged.right) ** 2).mean()), 3),
        "brier_of_scores": round(float(((scores - judged.right) ** 2).mean()), 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("models/qa"))
    parser.add_argument("--fit", action="store_true", help="write score_calibration first")
    parser.add_argument("--tiny", action="store_true", help="8 questions per set")
    options = parser.parse_args(arguments)
    rows = 8 if options.tiny else None
    draw = seeded(SEED)
    held_out = split(options.data, draw).dev
    with TemporaryDirectory() as scratch:
        reader = open_reader(options.model, Path(scratch))
    asked = {lang: read_xquad(options.data, lang)[:rows] for lang in LANGUAGES}
    found = {lang: judge(reader, examples) for lang, examples in asked.items()}
    fits = {lang: half_of_the_articles(examples) for lang, examples in asked.items()}

    config: dict[str, Any] = json.loads((options.model / "config.json").read_text())
    if options.fit:
        config["score_calibration"] = {
            lang: fit(judged.take(fits[lang])) for lang, judged in found.items()
        }
        write_json(options.model / "config.json", config)
    calibration = Calibration(config["score_calibration"])
    measured: dict[str, Any] = {"right_from_f1": RIGHT, "bins": BINS}
    for lang, judged in found.items():
        swapped = unanswerable(draw.sample(asked[lang], len(asked[lang])), draw)
        elsewhere = judge(reader, swapped[: rows or UNANSWERABLE_ROWS])
        dev = [example for example in held_out if example.lang == lang][:rows]
        measured[lang] = {
            "xquad_other_half": measure(judged.take(~fits[lang]), calibration, lang),
            "held_out": measure(judge(reader, dev), calibration, lang),
            "mean_score_unanswerable": measure(elsewhere, calibration, lang)["mean_score"],
        }
        print(lang, measured[lang], flush=True)
    update_report(options.model / "report.json", "calibration", measured)


if __name__ == "__main__":
    main()
