"""Answer a question with words of the documents, or say that they do not hold an answer."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from kit.client import ServiceClient
from services.rag import evidence, language
from services.rag.chunking import Span
from services.rag.evidence import Candidate, Reading
from services.rag.filters import Filter
from services.rag.followups import FollowUps
from services.rag.grounding import Supported
from services.rag.memory import Memory, new_id
from services.rag.postings import Key
from services.rag.retrieval import Retrieval
from services.rag.schemas import Answer, Citation, Passage, Sentence, Token, Turn, Words
from services.rag.writer import Writer
from services.rag.written import written

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
    """Answers from the documents alone: quoted by default, written where a language model is set.

    Either way every sentence has a citation whose place was checked.
    """

    def __init__(
        self,
        retrieval: Retrieval,
        memory: Memory,
        follow_ups: FollowUps,
        qa: ServiceClient,
        writer: Writer | None = None,
        *,
        passages: int,
        threshold: float,
    ) -> None:
        self._retrieval = retrieval
        self._memory = memory
        self._follow_ups = follow_ups
        self._qa = qa
        self._writer = writer
        self._passages = passages
        self._threshold = threshold

    async def find(
        self, key: Key, question: str, *, conversation: str | None, where: Filter = None
    ) -> Asked:
        """Search the passages for a question, in the light of its conversation.

        Raises NotFound for an unknown collection or conversation.
        """
        full = question
        if conversation:
            full = await self._follow_ups.self_contained(key[0], conversation, question)
        passages = await self._retrieval.search(key, full, k=self._passages, where=where)
        return Asked(key, question, full, conversation or new_id(), not conversation, passages)

    async def answer(self, asked: Asked) -> Answer:
        """Answer at once, and remember the turn."""
        async for piece in self.stream(asked):
            if isinstance(piece, Answer):
                return piece
        raise AssertionError("a stream ends with the answer")

    async def stream(self, asked: Asked) -> AsyncGenerator[Token | Answer]:
        """Yield sentences as they are written, then the whole; the turn is remembered by then."""
        if self._writer is None or not asked.passages:
            answer = await self._quoted(asked)
        else:
            kept: list[Supported] = []
            async for sentence in written(self._writer, asked.full_question, asked.passages):
                kept.append(sentence)
                yield Token(text=sentence.text, citations=sentence.citations)
            answer = _joined(asked, kept)
        turn = Turn(
            collection=asked.key[1],
            question=asked.question,
            answer=answer.answer,
            answered=answer.answered,
            citations=answer.citations,
            at=datetime.now(UTC),
        )
        await self._memory.remember(asked.key[0], asked.conversation, turn, is_new=asked.is_new)
        yield answer

    async def _quoted(self, asked: Asked) -> Answer:
        """Read the passages and take the likeliest sentence."""
        found = await self.candidates(asked)
        weights = evidence.WEIGHTS[language.detect(asked.full_question)]
        scores = evidence.probabilities([candidate.signs for candidate in found], weights)
        best = max(zip(scores, found, strict=True), key=lambda pair: pair[0], default=None)
        if best is None or best[0] < self._threshold:
            return _without(asked)
        citation = _cited(best[1], best[0])
        text = " ".join(citation.text.split())
        return Answer(
            answer=text,
            answered=True,
            words=_words(best[1]),
            sentences=[Sentence(text=text, citations=[0])],
            citations=[citation],
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


def _joined(asked: Asked, kept: list[Supported]) -> Answer:
    """Put the sentences together; each place is cited once."""
    if not kept:
        return _without(asked).model_copy(update={"source": "written"})
    citations: list[Citation] = []
    for citation in (one for sentence in kept for one in sentence.citations):
        if not any(_same(citation, other) for other in citations):
            citations.append(citation)
    at = [
        [
            next(n for n, other in enumerate(citations) if _same(one, other))
            for one in kept_.citations
        ]
        for kept_ in kept
    ]
    return Answer(
        answer=" ".join(sentence.text for sentence in kept),
        answered=True,
        source="written",
        sentences=[
            Sentence(text=sentence.text, citations=places)
            for sentence, places in zip(kept, at, strict=True)
        ],
        citations=citations,
        conversation_id=asked.conversation,
    )


def _same(one: Citation, other: Citation) -> bool:
    return (one.chunk_id, one.start, one.end) == (other.chunk_id, other.start, other.end)


def _without(asked: Asked) -> Answer:
    return Answer(
        answer=None,
        answered=False,
        citations=[_plain(passage) for passage in asked.passages[:CLOSEST]],
        conversation_id=asked.conversation,
    )


def _words(candidate: Candidate) -> Words | None:
    """Return the likeliest of qa's spans in the sentence, if there is one."""
    if candidate.span is None:
        return None
    passage, span = candidate.passage, candidate.span
    return Words(
        text=passage.text[span.start : span.end],
        start=passage.start + span.start,
        end=passage.start + span.end,
    )


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
