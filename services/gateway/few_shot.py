"""Learn a tenant's own intents from a few phrases, in milliseconds, beside the router's.

Kernel ridge regression over the router's n-gram vectors (kernel: the cosine), one column per own intent. The router's own example
phrases are the negatives, so that a message which any of the seven intents would take scores low. Nothing is random.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
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


class Learner:
    """Learns own intents; what the router's own phrases are to each other is worked out once."""

    def __init__(self, vectoriser: Vectoriser) -> None:
        self._vectoriser = vectoriser

    @cached_property
    def _known(self) -> tuple[list[Vector], Array]:
        """Return the vectors of the router's phrases and their kernel; takes about a second."""
        vectors = [self._vectoriser.vector(phrase.text) for phrase in self._vectoriser.phrases]
        return vectors, _kernel(vectors, vectors, self._vectoriser.width)

    def learn(self, intents: Sequence[tuple[str, Sequence[str]]]) -> Matcher:
        """Learn (name, phrases) pairs; takes some tenths of a second for ten of them."""
        phrases = [(name, phrase) for name, some in intents for phrase in some]
        known, among_known = self._known
        own = [self._vectoriser.vector(phrase) for _, phrase in phrases]
        across = _kernel(own, [*known, *own], self._vectoriser.width)
        beside, among_own = across[:, : len(known)], across[:, len(known) :]
        kernel = np.block([[among_known, beside.T], [beside, among_own]])
        kernel[np.diag_indices_from(kernel)] += RIDGE
        names = [name for name, _ in intents]
        targets = np.zeros((len(kernel), len(names)))
        for i, (name, _) in enumerate(phrases, start=len(known)):
            targets[i, names.index(name)] = 1.0
        weights = np.linalg.solve(kernel, targets).astype(np.float64)
        return Matcher(names, phrases, Phrases.of([*known, *own], self._vectoriser.width), weights)


def _kernel(rows: Sequence[Vector], columns: Sequence[Vector], width: int) -> Array:
    if not rows:
        return np.zeros((0, len(columns)))
    index = Phrases.of(columns, width)
    return np.array([index.similarities(vector) for vector in rows], dtype=np.float64)


def learn(vectoriser: Vectoriser, intents: Sequence[tuple[str, Sequence[str]]]) -> Matcher:
    """Learn once."""
    return Learner(vectoriser).learn(intents)
