"""Answer a question with words of the documents, or say that they do not hold an answer."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from kit.client import ServiceClient
from services.rag import evidence, language
from services.rag.chunking import Span
from services.rag.evidence import Candidate, Reading
from services.rag.filters import Filter
from services.rag.memory import Memory, new_id, self_contained
from services.rag.postings import Key
from services.rag.retrieval import Retrieval
from services.rag.schemas import Answer, Citation, Passage, Turn

CLOSEST = 3  # passages shown when there is no answer
SPANS = 5  # places that qa marks in a passage
DIGITS = 4  # more would be noise

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Asked:
    """A question with everything needed to answer it."""

    key: Key
    question: str
    full_question: str
    conversation: str
    is_new: bool
    passages: list[Passage]


class Answerer:
    """Extractive answers: every word comes from a document, and the citation says from where."""

    def __init__(
        self,
        retrieval: Retrieval,
        memory: Memory,
        qa: ServiceClient,
        *,
        passages: int,
        threshold: float,
    ) -> None:
        self._retrieval = retrieval
        self._memory = memory
        self._qa = qa
        self._passages = passages
        self._threshold = threshold

    async def find(
        self, key: Key, question: str, *, conversation: str | None, where: Filter = None
    ) -> Asked:
        """Search the passages for a question, in the light of its conversation.

        Raises NotFound for an unknown collection or conversation.
        """
        tenant = key[0]
        before = await self._memory.last_question(tenant, conversation) if conversation else None
        full = self_contained(question, before)
        passages = await self._retrieval.search(key, full, k=self._passages, where=where)
        return Asked(key, question, full, conversation or new_id(), not conversation, passages)

    async def answer(self, asked: Asked) -> Answer:
        """Read the passages, take the likeliest sentence, and remember the turn."""
        best = await self._likeliest(asked)
        if best is not None and best.score >= self._threshold:
            answer, citations = " ".join(best.text.split()), [best]
        else:
            answer, citations = None, [_plain(passage) for passage in asked.passages[:CLOSEST]]
        turn = Turn(
            collection=asked.key[1],
            question=asked.question,
            answer=answer,
            answered=answer is not None,
            citations=citations,
            at=datetime.now(UTC),
        )
        await self._memory.remember(asked.key[0], asked.conversation, turn, is_new=asked.is_new)
        return Answer(
            answer=answer,
            answered=answer is not None,
            citations=citations,
            conversation_id=asked.conversation,
        )

    async def candidates(self, asked: Asked) -> list[Candidate]:
        """Return every sentence of the passages with what speaks for it."""
        rarity = await self._retrieval.rarity(asked.key, asked.full_question)
        read = await asyncio.gather(
            *(self._read(asked.full_question, passage) for passage in asked.passages),
            return_exceptions=True,
        )
        question = asked.full_question
        found = [
            evidence.candidates(passage, _raised(one), question, rarity, is_first=rank == 0)
            for rank, (passage, one) in enumerate(zip(asked.passages, read, strict=True))
        ]
        return [candidate for group in found for candidate in group]

    async def _likeliest(self, asked: Asked) -> Citation | None:
        """Return the candidate that most probably answers, with that probability as its score."""
        found = await self.candidates(asked)
        weights = evidence.WEIGHTS[language.detect(asked.full_question)]
        scores = evidence.probabilities([candidate.signs for candidate in found], weights)
        best = max(zip(scores, found, strict=True), key=lambda pair: pair[0], default=None)
        return None if best is None else _cited(best[1], best[0])

    async def _read(self, question: str, passage: Passage) -> Reading:
        """Let qa mark where the passage may answer; a span that is not in the text is dropped."""
        body = {
            "question": question,
            "context": passage.text,
            "top_k": SPANS,
            "allow_no_answer": False,
        }
        result = await self._qa.call("POST", "/v1/answer", json=body)
        spans = [
            (Span(span["start"], span["end"]), float(span["share"]))
            for span in result["answers"]
            if _is_in(passage, span)
        ]
        return Reading(spans, float(result["no_answer_score"]))


def _is_in(passage: Passage, span: dict[str, Any]) -> bool:
    start, end = span["start"], span["end"]
    fits = bool(0 <= start < end and passage.text[start:end] == span["text"])
    if not fits:
        log.warning("qa_span_dropped", chunk=passage.chunk_id, start=start, end=end)
    return fits


def _cited(candidate: Candidate, probability: float) -> Citation:
    passage, place = candidate.passage, candidate.place
    return _plain(passage).model_copy(
        update={
            "text": passage.text[place.start : place.end],
            "start": passage.start + place.start,
            "end": passage.start + place.end,
            "score": round(probability, DIGITS),
        }
    )


def _raised(result: Reading | BaseException) -> Reading:
    if isinstance(result, BaseException):
        raise result
    return result


def _plain(passage: Passage) -> Citation:
    return Citation(**passage.model_dump(include=set(Citation.model_fields)))
