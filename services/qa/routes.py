"""Question answering's native endpoint."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter

from kit import language
from kit.app import from_lifespan
from kit.batching import Batcher
from services.qa import model
from services.qa.model import Reader, Window
from services.qa.schemas import Answer, Answers, Question
from services.qa.spans import WindowSpans

DIGITS = 6  # more would be noise
WindowBatcher = Batcher[Window, WindowSpans]
ReaderDep = Annotated[Reader, from_lifespan("reader")]
BatcherDep = Annotated[WindowBatcher, from_lifespan("batcher")]

router = APIRouter(tags=["qa"])


@router.post("/v1/answer", summary="Answer a question from a text")
async def answer(body: Question, reader: ReaderDep, batcher: BatcherDep) -> Answers:
    """Find the passages of the context that answer the question.

    Answers are whole words, copied from the context. `answerable` is false, and `answers` empty,
    when "no answer" is likelier than every passage and `allow_no_answer` is set.
    """
    windows = await to_thread.run_sync(
        reader.windows, body.question, body.context, body.max_answer_tokens
    )
    read = await batcher.submit_many(windows)
    found, no_answer = await to_thread.run_sync(model.answers, read, body.context, body.top_k)
    best = found[0][1] if found else 0.0
    answerable = bool(found) and (best > no_answer or not body.allow_no_answer)
    spoken = language.detect(f"{body.question}\n{body.context}")
    return Answers(
        model=reader.model.name,
        answerable=answerable,
        no_answer_score=round(no_answer, DIGITS),
        answers=[
            Answer(
                text=body.context[span.start : span.end],
                score=round(reader.calibration.score(share, spoken), DIGITS),
                share=round(share, DIGITS),
                start=span.start,
                end=span.end,
            )
            for span, share in found
            if answerable
        ],
        calibrated_for=spoken if reader.calibration.knows(spoken) else None,
        windows=len(windows),
    )
