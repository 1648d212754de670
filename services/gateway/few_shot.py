"""Learn a tenant's own intents from a few phrases, in milliseconds, beside the router's.

Kernel ridge regression over the router's n-gram vectors (kernel: the cosine), one column per own intent. The router's own example
phrases are the negatives, so that a message which any of the seven intents would take scores low. Nothing is random.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from services.gateway.nearest import Phrases, Vector
from services.gateway.router import Near, Phrase

# From training/gateway/few_shot.py on CLINC150 intents that are no test of anything else; see models/router/README.md.
RIDGE: Final = 0.3
THRESHOLD: Final = 0.13
SLOPE: Final = (
    20.0  # of the logistic curve that turns a score into a confidence; 0.5 at the threshold
)

Array = NDArray[np.float64]


class Vectoriser(Protocol):
    """What learning needs of the router."""

    @property
    def phrases(self) -> Sequence[Phrase]:
        """Return known phrases of every intent and of none."""
        ...

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        ...

    def vector(self, text: str) -> Vector:
        """Return a message as a vector of length 1."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """The own intent that a message has, and why."""

    name: str
    confidence: float
    runner_up: tuple[str, float] | None
    nearest: list[Near] = field(default_factory=list)


@dataclass(frozen=True)
class Matcher:
    """Own intents, learnt; immutable, and safe to use from any thread."""

    names: list[str]
    phrases: list[tuple[str, str]]  # (intent, phrase), those of the own intents
    index: Phrases
    weights: Array  # (phrases of all, names)

    def scores(self, vector: Vector) -> Array:
        """Return how much the message is like each own intent: about 1 for its phrases, 0 for others."""
        found: Array = self.index.similarities(vector).astype(np.float64) @ self.weights
        return found

    def match(self, vector: Vector) -> Match | None:
        """Return the own intent of a message, or None when it is none of them."""
        alike = self.index.similarities(vector).astype(np.float64)
        scores = alike @ self.weights
        order = np.argsort(-scores, kind="stable")
        best = int(order[0])
        if scores[best] < THRESHOLD:
            return None
        second = (self.names[order[1]], _confidence(scores[order[1]])) if len(order) > 1 else None
        own = alike[len(alike) - len(self.phrases) :]
        near = [
            Near(self.phrases[i][0], self.phrases[i][1], round(float(own[i]), 3))
            for i in np.argsort(-own, kind="stable")[:3]
        ]
        return Match(self.names[best], _confidence(scores[best]), second, near)


def _confidence(score: float) -> float:
    return round(1 / (1 + math.exp(-SLOPE * (float(score) - THRESHOLD))), 4)


def learn(vectoriser: Vectoriser, intents: Sequence[tuple[str, Sequence[str]]]) -> Matcher:
    """Learn (name, phrases) pairs; takes about a tenth of a second for ten of them."""
    phrases = [(name, phrase) for name, some in intents for phrase in some]
    known = [vectoriser.vector(phrase.text) for phrase in vectoriser.phrases]
    vectors = [*known, *(vectoriser.vector(phrase) for _, phrase in phrases)]
    index = Phrases.of(vectors, vectoriser.width)
    kernel = np.array([index.similarities(v) for v in vectors], dtype=np.float64)
    names = [name for name, _ in intents]
    targets = np.zeros((len(vectors), len(names)))
    for i, (name, _) in enumerate(phrases, start=len(known)):
        targets[i, names.index(name)] = 1.0
    kernel[np.diag_indices_from(kernel)] += RIDGE
    weights = np.linalg.solve(kernel, targets).astype(np.float64)
    return Matcher(names, phrases, index, weights)
