"""Exact match and F1 as SQuAD's official script computes them, and the no-answer threshold.

The script lower-cases, drops ASCII punctuation and articles, and compares bags of words with the best of the reference
answers (Rajpurkar et al. 2016). Spanish drops its own articles instead of the English ones; Russian has none.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ARTICLES = {
    "en": re.compile(r"\b(a|an|the)\b"),
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "ru": None,
}
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str, lang: str) -> list[str]:
    """Return the words that count."""
    text = text.lower().translate(PUNCTUATION)
    articles = ARTICLES[lang]
    return (articles.sub(" ", text) if articles else text).split()


def exact(answer: str, references: Sequence[str], lang: str) -> float:
    """Return 1 when the answer equals one of the references, else 0."""
    words = normalised(answer, lang)
    return float(any(words == normalised(reference, lang) for reference in references))


def f1(answer: str, references: Sequence[str], lang: str) -> float:
    """Return the best word overlap with a reference, 0 to 1."""
    return max(_overlap(normalised(answer, lang), normalised(r, lang)) for r in references)


def _overlap(answer: list[str], reference: list[str]) -> float:
    shared = sum((Counter(answer) & Counter(reference)).values())
    return 2 * shared / (len(answer) + len(reference)) if shared else 0.0


def separating_threshold(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Return the score above which to answer, with the best mean of the two classes' accuracies."""
    yes, no = np.sort(answerable), np.sort(unanswerable)
    candidates: NDArray[np.float64] = np.unique(np.concatenate([yes, no]))
    answered = 1 - np.searchsorted(yes, candidates) / len(yes)
    refused = np.searchsorted(no, candidates) / len(no)
    return float(candidates[(answered + refused).argmax()])


def auroc(answerable: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Return the chance that an answerable question scores above an unanswerable one."""
    order = np.concatenate([answerable, unanswerable]).argsort().argsort() + 1
    count = len(answerable)
    return float((order[:count].sum() - count * (count + 1) / 2) / (count * len(unanswerable)))
