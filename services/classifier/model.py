"""Two ways to label texts: a classification model's own labels, and any labels by embeddings."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from kit import text
from kit.errors import Unprocessable
from kit.models import resolve
from kit.onnx_model import OnnxText
from kit.text import TextModel
from services.classifier.settings import Settings

Vector = NDArray[np.float32]
Function = Literal["sigmoid", "softmax", "none"]
Pair = tuple[str, str]

MIN_ROOM = 8  # tokens of a pair's second text; fewer make no sense of it
# Fitted on CLINC150 with MiniLM by benchmarks/zero_shot.py.
TEMPERATURE = 0.07
MIDPOINT, SLOPE = 0.35, 12.5


class Classifier:
    """A sequence classification model: labels of texts, or of pairs of texts, from its own list."""

    def __init__(
        self, model: TextModel, thresholds: Mapping[str, float] | None = None, overlap: int = 64
    ) -> None:
        self.model = model
        self.thresholds = thresholds
        self._overlap = overlap
        names: Mapping[str, str] = model.config["id2label"]
        self.labels = [names[number] for number in sorted(names, key=int)]
        self.function = own_function(model.config, len(self.labels))

    def windows(self, texts: Sequence[str | Pair]) -> list[list[Encoding]]:
        """Tokenize each text into overlapping windows; blocking.

        The second text of a pair is cut, each window behind the whole of the first. Raises
        Unprocessable when the first leaves no room.
        """
        alone = iter(
            text.windows(self.model, [t for t in texts if isinstance(t, str)], self._overlap)
        )
        return [next(alone) if isinstance(t, str) else self._pair(*t) for t in texts]

    def _pair(self, first: str, second: str) -> list[Encoding]:
        (asked,) = self.model.tokenizer.encode_batch([first], add_special_tokens=False)
        special = self.model.tokenizer.num_special_tokens_to_add(is_pair=True)
        room = self.model.max_length - special - len(asked)
        if room < MIN_ROOM:
            most = self.model.max_length - special - MIN_ROOM
            raise Unprocessable(
                f"The first text of a pair has {len(asked)} tokens; this model takes at most {most}."
            )
        return text.pair_windows(self.model, asked, second, room, self._overlap)

    def read(self, windows: list[Encoding]) -> Sequence[Vector]:
        """Return one row of logits (labels,) per window; blocking."""
        return list(self.model.run(windows)["logits"])

    def combine(self, windows: Sequence[Vector], function: Function | None = None) -> Vector:
        """Return a text's scores from its windows' logits, by the model's own function or another.

        A sigmoid's label holds when one passage shows it; a softmax's labels exclude each other, so
        its passages vote. Logits are combined as the model's own function would combine them.
        """
        chosen = function or self.function
        rows = SCALES[chosen](np.stack(windows))
        rule = chosen if chosen != "none" else self.function
        combined: Vector = rows.max(axis=0) if rule == "sigmoid" else rows.mean(axis=0)
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


def own_function(config: Mapping[str, Any], labels: int) -> Function:
    """Return what makes scores of a model's logits, by the rule of transformers' pipeline."""
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    # One label alone is a yes or no as well.
    return "sigmoid" if problem == "multi_label_classification" or labels == 1 else "softmax"


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


def unchanged(x: Vector) -> Vector:
    """Return the logits as they are."""
    return x


SCALES: Mapping[Function, Callable[[Vector], Vector]] = {
    "sigmoid": sigmoid,
    "softmax": softmax,
    "none": unchanged,
}
