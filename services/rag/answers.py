"""Answer a question with words of the documents, or say that they do not hold an answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from kit.client import ServiceClient
from services.rag.chunking import around
from services.rag.memory import Memory, new_id, self_contained
from services.rag.postings import Key
from services.rag.retrieval import Filter, Retrieval
from services.rag.schemas import Answer, Citation, Passage, Turn

RANK_DISCOUNT = 0.05  # what a place further down costs a span, as a share of its score
CLOSEST = 3  # passages shown when there is no answer

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
        """Read the passages, take the best span's sentence, and remember the turn."""
        spans = await asyncio.gather(
            *(self._read(asked.full_question, passage) for passage in asked.passages),
            return_exceptions=True,
        )
        found = [_raised(span) for span in spans]
        best = _best(found)
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

    async def _read(self, question: str, passage: Passage) -> Citation | None:
        """Return the sentences of the passage that hold the answer, if qa sees one."""
        body = {"question": question, "context": passage.text, "top_k": 1, "allow_no_answer": True}
        result = await self._qa.call("POST", "/v1/answer", json=body)
        if not result["answerable"] or not result["answers"]:
            return None
        return _cited(passage, result["answers"][0])


def _cited(passage: Passage, span: dict[str, Any]) -> Citation | None:
    """Widen the span to whole sentences; a span that is not in the text is dropped."""
    start, end = span["start"], span["end"]
    if passage.text[start:end] != span["text"] or start >= end:
        log.warning("qa_span_dropped", chunk=passage.chunk_id, start=start, end=end)
        return None
    place = around(passage.text, start, end)
    return _plain(passage).model_copy(
        update={
            "text": passage.text[place.start : place.end],
            "start": passage.start + place.start,
            "end": passage.start + place.end,
            "score": span["score"],
        }
    )


def _best(found: Sequence[Citation | None]) -> Citation | None:
    """Return the citation whose score, a little less per rank, is highest."""
    ranked = [
        (citation.score * (1 - RANK_DISCOUNT * rank), citation)
        for rank, citation in enumerate(found)
        if citation is not None
    ]
    return max(ranked, key=lambda item: item[0])[1] if ranked else None


def _raised(result: Citation | BaseException | None) -> Citation | None:
    if isinstance(result, BaseException):
        raise result
    return result


def _plain(passage: Passage) -> Citation:
    return Citation(**passage.model_dump(include=set(Citation.model_fields)))
