"""The corpus as sparse features: n-grams by their idf, and the cues of the request."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import CountVectorizer

from services.gateway.features import CUES, cues, ngrams
from training.gateway.prepare import Row

MIN_ROWS = 3
WORD_BOOST = 1.5  # whole words carry over to new phrases better than fragments
CUE_BOOST = 2.0  # likewise the shape of the request
LONGEST = (
    15.0  # norm above which a message is not scaled down: a pasted text must not drown the request
)

Array = NDArray[np.float64]


def read(path: Path) -> list[Row]:
    """Read the corpus."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(split, language, intent, int(context), int(images), source, text)
            for split, language, intent, context, images, source, text in csv.reader(
                file, delimiter="\t"
            )
        ]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with all their n-grams, extracted once."""

    rows: list[Row]
    grams: csr_matrix  # (rows, vocabulary), 0 or 1
    shapes: csr_matrix  # (rows, cues)
    vocabulary: NDArray[np.str_]

    @classmethod
    def of(cls, rows: list[Row], vocabulary: list[str] | None = None) -> "Table":
        """Extract the given n-grams, or every one that at least MIN_ROWS rows have."""
        counter = CountVectorizer(
            analyzer=lambda row: ngrams(row.text),
            min_df=MIN_ROWS if vocabulary is None else 1,
            vocabulary=vocabulary,
            dtype=np.float64,
        )
        grams = counter.fit_transform(rows)
        return cls(rows, grams, _cue_matrix(rows), counter.get_feature_names_out())

    def part(self, split: str) -> "Table":
        """Return the rows of one split."""
        at = [i for i, row in enumerate(self.rows) if row.split == split]
        return Table([self.rows[i] for i in at], self.grams[at], self.shapes[at], self.vocabulary)

    def with_grams(self, chosen: NDArray[np.int64]) -> "Table":
        """Return the same rows with fewer n-grams."""
        return Table(self.rows, self.grams[:, chosen], self.shapes, self.vocabulary[chosen])

    def idf(self) -> Array:
        """Return the smoothed inverse document frequencies."""
        seen = np.asarray(self.grams.sum(axis=0)).ravel()
        boost = np.where(np.char.endswith(self.vocabulary.astype(str), "|"), WORD_BOOST, 1.0)
        weights: Array = boost * (np.log((1 + len(self.rows)) / (1 + seen)) + 1)
        return weights

    def features(self, idf: Array) -> csr_matrix:
        """Return idf rows of length 1 (long messages: longer) followed by the cue columns."""
        weighed = self.grams @ diags(idf)
        lengths = np.sqrt(weighed.multiply(weighed).sum(axis=1)).A1
        unit = diags(1 / np.clip(lengths, 1e-9, LONGEST)) @ weighed
        return hstack([unit, self.shapes], format="csr")


def _cue_matrix(rows: list[Row]) -> csr_matrix:
    found = [cues(r.text, has_context=bool(r.has_context), images=r.images) for r in rows]
    starts = np.cumsum([0, *map(len, found)])
    columns = np.array([c for row in found for c in row], dtype=np.int64)
    return csr_matrix(
        (np.full(starts[-1], CUE_BOOST), columns, starts), shape=(len(rows), len(CUES))
    )


def balance(rows: list[Row]) -> Array:
    """Weigh rows so that every language and intent counts the same."""
    sizes = Counter((row.language, row.intent) for row in rows)
    weights = np.array([1 / sizes[row.language, row.intent] for row in rows])
    balanced: Array = weights * len(rows) / weights.sum()
    return balanced
