"""Which written sentences the sources bear out, and where.

A language model writes `... [2].`; what it cites is checked here and not believed. A sentence stays
only if it names a source that was given to it, if that source holds every number of the sentence,
and if they share words where both are in one language. Everything else is dropped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.rag import language
from services.rag.chunking import Span, sentences
from services.rag.schemas import Citation, Passage

LEAST_SHARE = 0.2  # of a sentence's stems that its source must hold
DIGITS = 4
MARK = re.compile(r"\[\s*(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# A sentence is over at its mark, behind the citations that may follow it, when more text begins.
END = re.compile(r"[.!?…]+[\"'»”)]*(?:\s*\[[\d\s,;]+\])*(?=\s+\S)|\n+")
REFUSAL = "NO ANSWER"


@dataclass(frozen=True)
class Supported:
    """A sentence without its marks, and the places that bear it out."""

    text: str
    citations: list[Citation]


class Sentences:
    """Cuts what arrives in pieces into sentences."""

    def __init__(self) -> None:
        self._left = ""

    def add(self, piece: str) -> list[str]:
        """Return the sentences that are whole now."""
        self._left += piece
        found: list[str] = []
        while True:
            ends = [mark.end() for mark in END.finditer(self._left)]
            # A citation may still follow a full stop: `... done. [1] Next`.
            end = next((end for end in ends if not self._left[end:].lstrip().startswith("[")), None)
            if end is None:
                return found
            found.append(self._left[:end])
            self._left = self._left[end:]

    def rest(self) -> list[str]:
        """Return what is left when nothing more comes."""
        left, self._left = self._left, ""
        return [left] if left.strip() else []


def supported(sentence: str, passages: Sequence[Passage]) -> Supported | None:
    """Return the sentence with exact places in its sources, or None when they do not bear it out."""
    text = " ".join(MARK.sub("", sentence).split())
    text = re.sub(r"\s+([.,!?…;:])", r"\1", text)
    if not re.search(r"\w", text):
        return None
    numbers = [int(one) for mark in MARK.finditer(sentence) for one in re.findall(r"\d+", mark[1])]
    named = [passages[n - 1] for n in dict.fromkeys(numbers) if 1 <= n <= len(passages)]
    citations = [found for passage in named if (found := _place(text, passage))]
    return Supported(text, citations) if citations else None


def _place(text: str, passage: Passage) -> Citation | None:
    """Return the sentence of the passage that shares most words with the text, if that is enough."""
    whole = f"{passage.title}\n{passage.text}"
    if set(NUMBER.findall(text)) - set(NUMBER.findall(whole)):
        return None
    languages = language.candidates(text)
    own = set(language.stems(text, languages))
    spans = sentences(passage.text) or [Span(0, len(passage.text))]
    shares = [_share(own, passage.text[span.start : span.end], languages) for span in spans]
    best = max(range(len(spans)), key=lambda at: shares[at])
    share = _share(own, whole, languages)
    # Words of different languages cannot be compared; numbers were.
    if share < LEAST_SHARE and language.detect(text) == language.detect(passage.text):
        return None
    span = spans[best] if shares[best] > 0 else Span(0, len(passage.text))
    return Citation(
        document_id=passage.document_id,
        chunk_id=passage.chunk_id,
        title=passage.title,
        text=passage.text[span.start : span.end],
        start=passage.start + span.start,
        end=passage.start + span.end,
        score=round(share, DIGITS),
    )


def _share(own: set[str], text: str, languages: Sequence[str]) -> float:
    return len(own & set(language.stems(text, languages))) / len(own) if own else 0.0
