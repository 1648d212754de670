"""The intent router: which service a message wants, how sure that is, and what the service needs from it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from services.gateway.features import CUES, cues, frame, ngrams
from services.gateway.language import OPENING, Language, language_of
from services.gateway.nearest import SPARE, Phrases, Vector, spare_place
from services.gateway.slots import Span, slots_of, spans_of

UNCLEAR: Final = "unclear"
OTHER: Final = "other"  # trained as an intent, answered as unclear
FORMAT: Final = 4
SHOWN: Final = 5
MARKS: Final = "^$|> "
NEAREST: Final = 3

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A message and the shape of the request around it."""

    text: str
    has_context: bool = False
    images: int = 0
    wants_nearest: bool = False
    """Whether the explanation names the nearest phrases, which costs another half a millisecond."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that the router learned from."""

    intent: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Near:
    """A known phrase and how alike it is, 0 to 1."""

    intent: str
    phrase: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another intent that the message may have."""

    intent: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """A piece of the message, or a cue of the request, that spoke for the intent and not the next best."""

    what: str
    weight: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why: the margin to the next best intent, the threshold, what weighed most, the nearest phrases."""

    margin: float
    threshold: float
    evidence: list[Evidence]
    nearest: list[Near] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Route:
    """The decision. `alternatives` are the two closest others; of an unclear message, the two closest."""

    intent: str
    confidence: float
    alternatives: list[Alternative]
    language: Language
    slots: dict[str, Any]
    explanation: Explanation
    spans: dict[str, Span] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The features of one message: rows of the weight matrix with their values, and cues."""

    rows: NDArray[np.intp]
    values: Floats
    cues: list[int]


@dataclass(frozen=True)
class Router:
    """A linear model and a small network over n-grams and cues, with calibrated probabilities.

    Holds its weights in memory and nothing else: `route` is pure, takes about a millisecond and may be
    called from any thread. Below the threshold it says `unclear` and never guesses.
    """

    intents: list[str]
    grams: list[str] = field(repr=False)
    rows: dict[str, int] = field(repr=False)
    idf: Floats = field(repr=False)  # (features,)
    weights: Floats = field(repr=False)  # (features, intents)
    cue_weights: Floats = field(repr=False)  # (cues, intents)
    bias: Floats
    hidden: Floats = field(repr=False)  # (features, units)
    cue_hidden: Floats = field(repr=False)  # (cues, units)
    hidden_bias: Floats = field(repr=False)
    out: Floats = field(repr=False)  # (units, intents)
    spanish: Floats = field(repr=False)  # (features,)
    spanish_bias: float
    longest: float  # messages with more n-grams than this norm are not scaled down further
    temperature: float
    threshold: float
    phrases: list[Phrase] = field(default_factory=list, repr=False)
    index: list[Phrases] = field(default_factory=list, repr=False)  # of `phrases`, filled by `load`

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read model.safetensors and config.json; raise ValueError when they do not fit this code."""
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        if config["format"] != FORMAT or tuple(config["cues"]) != CUES:
            raise ValueError(f"{directory} holds a router of another version: train it again.")
        tensors = load_file(directory / "model.safetensors")
        vocabulary = tensors["vocabulary"].tobytes().decode().split("\n")
        router = cls(
            intents=config["intents"],
            grams=vocabulary,
            rows={gram: row for row, gram in enumerate(vocabulary)},
            idf=tensors["idf"].astype(np.float32),
            weights=tensors["weights"].astype(np.float32),
            cue_weights=tensors["cue_weights"],
            bias=tensors["bias"] + tensors["out_bias"],
            hidden=tensors["hidden"].astype(np.float32),
            cue_hidden=tensors["cue_hidden"],
            hidden_bias=tensors["hidden_bias"],
            out=tensors["out"],
            spanish=tensors["spanish"].astype(np.float32),
            spanish_bias=float(tensors["spanish_bias"][0]),
            longest=config["longest"],
            temperature=config["temperature"],
            threshold=config["threshold"],
            phrases=_phrases(directory / "phrases.tsv"),
        )
        if router.phrases:
            vectors = [router.vector(phrase.text) for phrase in router.phrases]
            router.index.append(Phrases.of(vectors, router.width))
        return router

    @property
    def width(self) -> int:
        """Return the length of a vector."""
        return len(self.grams) + SPARE

    def vector(self, text: str) -> Vector:
        """Return a message as a vector of length 1, to be compared with others."""
        grams = ngrams(text)
        usual = float(self.idf.max())
        weights: dict[int, float] = {}
        for gram in grams:
            row = self.rows.get(gram)
            place = len(self.grams) + spare_place(gram) if row is None else row
            weights[place] = usual if row is None else float(self.idf[row])
        places = np.array(sorted(weights), dtype=np.intp)
        values = np.array([weights[place] for place in places], dtype=np.float32)
        return Vector(places, values / np.sqrt(values @ values))

    def nearest(self, text: str) -> list[Near]:
        """Return the known phrases that are most like the message."""
        if not self.index:
            return []
        alike = self.index[0].similarities(self.vector(text))
        return [
            Near(self.phrases[i].intent, self.phrases[i].text, round(float(alike[i]), 3))
            for i in np.argsort(-alike, kind="stable")[:NEAREST]
        ]

    def route(self, request: RouteRequest) -> Route:
        """Decide what a message wants."""
        found = self._features(request)
        probabilities = self._probabilities(found)
        inside = [i for i, intent in enumerate(self.intents) if intent != OTHER]
        order = sorted(inside, key=lambda i: -probabilities[i])
        best = order[0]
        is_clear = probabilities[best] >= max(self.threshold, self._other(probabilities))
        others = order[1:3] if is_clear else order[:2]
        intent = self.intents[best] if is_clear else UNCLEAR
        slots = slots_of(
            intent, request.text, has_context=request.has_context, images=request.images
        )
        near = self.nearest(request.text) if request.wants_nearest else []
        return Route(
            intent=intent,
            confidence=round(float(probabilities[best]), 4),
            alternatives=[
                Alternative(self.intents[i], round(float(probabilities[i]), 4)) for i in others
            ],
            language=language_of(request.text, self._spanish_log_odds(request.text, found)),
            slots=slots,
            explanation=self._explain(found, probabilities, near),
            spans=spans_of(request.text, slots, images=request.images),
        )

    def _features(self, request: RouteRequest) -> Found:
        known = [row for gram in ngrams(request.text) if (row := self.rows.get(gram)) is not None]
        rows = np.sort(np.array(known, dtype=np.intp))  # sorted, for the same sums in every process
        values = self.idf[rows]
        length = min(float(np.sqrt(values @ values)), self.longest)
        found = cues(request.text, has_context=request.has_context, images=request.images)
        return Found(rows, values / max(length, 1e-9), found)

    def _probabilities(self, found: Found) -> Floats:
        """Return (intents,), calibrated."""
        scores = found.values @ self.weights[found.rows] + self.cue_weights[found.cues].sum(axis=0)
        units = found.values @ self.hidden[found.rows] + self.cue_hidden[found.cues].sum(axis=0)
        scores = scores + np.maximum(units + self.hidden_bias, 0) @ self.out
        heated = (scores + self.bias) / self.temperature
        shares = np.exp(heated - heated.max())
        probabilities: Floats = shares / shares.sum()
        return probabilities

    def _other(self, probabilities: Floats) -> float:
        return float(probabilities[self.intents.index(OTHER)]) if OTHER in self.intents else 0.0

    def _spanish_log_odds(self, text: str, found: Found) -> float:
        """Add the opening, twice: "traduce: good morning" is a request in Spanish."""
        opening = self._features(RouteRequest(frame(text)[:OPENING]))
        parts = (float(f.values @ self.spanish[f.rows]) for f in (found, opening, opening))
        return sum(parts) + 3 * self.spanish_bias

    def _explain(self, found: Found, probabilities: Floats, near: list[Near]) -> Explanation:
        first, second = np.argsort(-probabilities)[:2]
        contrast = self.weights[found.rows, first] - self.weights[found.rows, second]
        spoke = found.values * contrast
        evidence = [
            (CUES[c], float(self.cue_weights[c, first] - self.cue_weights[c, second]))
            for c in found.cues
        ]
        strongest = np.argsort(-spoke)[:SHOWN]
        evidence += [(_shown(self.grams[found.rows[i]]), float(spoke[i])) for i in strongest]
        top = sorted(evidence, key=lambda pair: -pair[1])[:SHOWN]
        return Explanation(
            margin=round(float(probabilities[first] - probabilities[second]), 4),
            threshold=self.threshold,
            evidence=[Evidence(what, round(weight, 3)) for what, weight in top if weight > 0],
            nearest=near,
        )


def _shown(gram: str) -> str:
    """Return a feature in readable words: a piece of the message, or the concepts that its words stand for."""
    if "#" not in gram:
        return gram.strip(MARKS)
    return "concept " + " + ".join(name.strip(MARKS) for name in gram.split("#")[1:])


def _phrases(path: Path) -> list[Phrase]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Phrase(*line.split("\t")) for line in lines]
