"""Two ways to label texts: a classification model's own labels, and any labels by embeddings."""

import json
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from kit import text
from kit.models import resolve
from kit.onnx_model import OnnxText
from kit.text import TextModel
from services.classifier.settings import Settings

Vector = NDArray[np.float32]

# Fitted on CLINC150 with MiniLM by benchmarks/zero_shot.py.
TEMPERATURE = 0.07
MIDPOINT, SLOPE = 0.35, 12.5


class Classifier:
    """A sequence classification model: sigmoid for multi-label ones, softmax for the others."""

    def __init__(
        self, model: TextModel, thresholds: Mapping[str, float] | None = None, overlap: int = 64
    ) -> None:
        self.model = model
        self.thresholds = thresholds
        self._overlap = overlap
        names: Mapping[str, str] = model.config["id2label"]
        self.labels = [names[number] for number in sorted(names, key=int)]
        # The rule of transformers: one label alone is a yes or no as well.
        problem = model.config.get("problem_type")
        self.is_multi_label = problem == "multi_label_classification" or len(self.labels) == 1

    def windows(self, texts: Sequence[str]) -> list[list[Encoding]]:
        """Tokenize each text into overlapping windows; blocking."""
        return text.windows(self.model, texts, self._overlap)

    def score(self, windows: list[Encoding]) -> Sequence[Vector]:
        """Return one row of probabilities (labels,) per window; blocking."""
        logits = self.model.run(windows)["logits"]
        return list(sigmoid(logits) if self.is_multi_label else softmax(logits))

    def combine(self, windows: Sequence[Vector]) -> Vector:
        """Return a text's probabilities from those of its windows.

        A label of a multi-label model holds when one passage shows it; the labels of the others
        exclude each other, so their passages vote.
        """
        rows = np.stack(windows)
        combined: Vector = rows.max(axis=0) if self.is_multi_label else rows.mean(axis=0)
        return combined

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Load the configured model; blocking. Raises ModelUnavailable."""
        files = resolve(settings.model, settings.models_dir)
        model = OnnxText(
            files,
            precision=settings.precision,
            threads=settings.threads,
            device=settings.device,
        )
        calibrated = files.path / "thresholds.json"
        thresholds = json.loads(calibrated.read_text()) if calibrated.is_file() else None
        return cls(model, thresholds, settings.overlap_tokens)


class ZeroShot:
    """Labels by the cosine between the embeddings of a text and of a sentence about each label."""

    def __init__(self, model: TextModel, overlap: int = 64) -> None:
        self.model = model
        self._overlap = overlap

    def windows(self, texts: Sequence[str]) -> list[list[Encoding]]:
        """Tokenize each text into overlapping windows; blocking."""
        return text.windows(self.model, texts, self._overlap)

    def embed(self, windows: list[Encoding]) -> Sequence[Vector]:
        """Return one unit vector per window; blocking."""
        return list(self.model.run(windows)["sentence_embedding"])

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Load the configured embedder; blocking. Raises ModelUnavailable."""
        files = resolve(settings.zero_shot_model, settings.models_dir)
        model = OnnxText(
            files,
            precision=settings.precision,
            threads=settings.threads,
            device=settings.device,
        )
        return cls(model, settings.overlap_tokens)


def zero_shot_scores(
    windows: Sequence[Vector], labels: Sequence[Vector], *, multi_label: bool
) -> Vector:
    """Return each label's probability for a text; its closest window speaks for the text."""
    cosines = (np.stack(windows) @ np.stack(labels).T).max(axis=0)
    if multi_label:
        return sigmoid(SLOPE * (cosines - MIDPOINT))
    return softmax(cosines / TEMPERATURE)


def sigmoid(x: Vector) -> Vector:
    """Return 1 / (1 + exp(-x)) without overflow."""
    half: Vector = 0.5 * (1 + np.tanh(0.5 * x))
    return half


def softmax(x: Vector) -> Vector:
    """Return probabilities along the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: Vector = powers / powers.sum(axis=-1, keepdims=True)
    return shares
