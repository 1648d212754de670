"""How likely each sentence of the found passages is the answer to a question.

Every sentence is a candidate. What speaks for it is weighed, and all candidates compete with each
other and with "there is no answer here" in one softmax: a conditional logit model.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from services.rag import language
from services.rag.chunking import Span, around, sentences
from services.rag.schemas import Passage

FLOOR = 1e-5  # the least probability that is told from none


class Signs(NamedTuple):
    """What speaks for a sentence; each sign is multiplied by its weight."""

    reading: float
    """Log odds of qa's spans in the sentence against qa's "no answer in this passage"."""
    words: float
    """Share of the question's words that the sentence holds, rare ones counting more."""
    passage_words: float
    """The same for the whole passage and its title."""
    first: float
    """1 for the passage that the search puts first, else 0."""
    constant: float = 1.0
    """The same for all: how much has to speak for a sentence until it outweighs "no answer"."""


# By the question's language: `benchmarks/ask.py` fits them on one half of XQuAD's questions and
# measures on the other. Where qa is weak its readings count less and common words more.
WEIGHTS = {
    "en": Signs(reading=0.56, words=2.34, passage_words=1.54, first=0.9, constant=-5.23),
    "es": Signs(reading=0.35, words=3.89, passage_words=2.62, first=0.93, constant=-5.35),
    "ru": Signs(reading=0.2, words=4.7, passage_words=2.83, first=1.55, constant=-5.95),
}


@dataclass(frozen=True)
class Reading:
    """What qa says about a passage: places with probabilities, and that of "no answer"."""

    spans: Sequence[tuple[Span, float]]
    no_answer: float


@dataclass(frozen=True)
class Candidate:
    """A sentence of a passage, or neighbouring ones that an answer runs across."""

    passage: Passage
    place: Span
    signs: Signs
    span: Span | None = None
    """The likeliest of qa's places in it."""


def candidates(
    passage: Passage,
    reading: Reading,
    question: str,
    rarity: Mapping[str, float],
    *,
    is_first: bool,
) -> list[Candidate]:
    """Return the passage's sentences, not its headings, as candidates; `rarity` weighs the question's stems."""
    text = passage.text
    likely = dict.fromkeys(sentences(text), 0.0)
    spans: dict[Span, Span] = {}
    for span, probability in sorted(reading.spans, key=lambda pair: -pair[1]):
        place = around(text, span.start, span.end)
        likely[place] = likely.get(place, 0.0) + probability
        spans.setdefault(place, span)
    languages = language.candidates(question)
    whole = share(f"{passage.title}\n{text}", languages, rarity)
    return [
        Candidate(
            passage,
            place,
            Signs(
                reading=_log(probability) - _log(reading.no_answer),
                words=share(text[place.start : place.end], languages, rarity),
                passage_words=whole,
                first=float(is_first),
            ),
            spans.get(place),
        )
        for place, probability in likely.items()
        if not _is_heading(text[place.start : place.end])
    ]


def probabilities(signs: Sequence[Signs], weights: Signs) -> list[float]:
    """Return each candidate's probability; what is missing to 1 is that of "no answer"."""
    logits = np.array([0.0, *(np.dot(one, weights) for one in signs)])
    shares = np.exp(logits - logits.max())
    return [float(one) for one in shares[1:] / shares.sum()]


def share(text: str, languages: Sequence[str], rarity: Mapping[str, float]) -> float:
    """Return which share of the stems, by their rarity, the text holds."""
    total = sum(rarity.values())
    held = rarity.keys() & set(language.stems(text, languages))
    return sum(rarity[stem] for stem in held) / total if total else 0.0


def _is_heading(sentence: str) -> bool:
    return sentence.startswith("#") and "\n" not in sentence


def _log(probability: float) -> float:
    return math.log(max(probability, FLOOR))
