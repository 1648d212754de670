"""A found chunk: what a client is shown of it, and why it stands where it does."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.language import WORD
from services.rag import language
from services.rag.legs import Leg
from services.rag.schemas import Explanation, Highlight, Passage

DIGITS = 6  # more would be noise


@dataclass(frozen=True)
class Found:
    """A passage and the steps that gave it its score."""

    passage: Passage
    fused: float
    ranker: str | None = None
    features: dict[str, float] = field(default_factory=dict)
    ranked: float | None = None
    """The ranker's probability, where a cross-encoder's has taken its place."""
    reranker: float | None = None

    def judged(self, score: float) -> Self:
        """Take a cross-encoder's score in place of what there was."""
        ranked = self.passage.score if self.ranker else None
        passage = self.passage.model_copy(update={"score": score})
        return replace(self, passage=passage, ranked=ranked, reranker=score)

    def scaled(self, most: float) -> Self:
        """Put the score below those of better places."""
        return replace(
            self, passage=self.passage.model_copy(update={"score": self.passage.score * most})
        )

    def shown(self, *, explain: bool, stems: Collection[str] | None, query: str) -> Passage:
        """Return the passage, with what was asked for beside it."""
        update: dict[str, Any] = {}
        if explain:
            update["explanation"] = Explanation(
                fused_score=round(self.fused, DIGITS),
                ranker=self.ranker,
                ranker_score=self._ranker_score(),
                reranker_score=self.reranker,
                features={name: round(value, DIGITS) for name, value in self.features.items()},
            )
        if stems is not None:
            update["highlights"] = highlights(self.passage, stems, language.candidates(query))
        return self.passage.model_copy(update=update)

    def _ranker_score(self) -> float | None:
        if not self.ranker:
            return None
        return self.passage.score if self.ranked is None else self.ranked


def of(row: Any, score: float, dense: Leg, keyword: Leg) -> Found:
    """Describe a chunk's row of the database."""
    place = (row["document"], row["position"])
    dense_rank, dense_score = dense.at(place)
    keyword_rank, keyword_score = keyword.at(place)
    passage = Passage(
        document_id=row["document"],
        chunk_id=f"{row['document']}#{row['position']}",
        title=row["title"],
        text=row["text"],
        start=row["start"],
        end=row["end"],
        score=score,
        metadata=row["metadata"],
        dense_rank=dense_rank,
        dense_score=dense_score,
        keyword_rank=keyword_rank,
        keyword_score=keyword_score,
    )
    return Found(passage, score)


def highlights(
    passage: Passage, stems: Collection[str], languages: Sequence[str]
) -> list[Highlight]:
    """Return where the passage holds one of the stems, in characters of the document's text."""
    wanted = frozenset(stems)
    known: dict[str, bool] = {}

    def counts(word: str) -> bool:
        if word not in known:
            known[word] = bool(wanted & set(language.stems(word, languages)))
        return known[word]

    return [
        Highlight(start=passage.start + word.start(), end=passage.start + word.end())
        for word in re.finditer(WORD, passage.text)
        if counts(word.group())
    ]
