"""Let a language model write an answer, and keep what the passages bear out."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog

from services.rag.grounding import REFUSAL, Sentences, Supported, supported
from services.rag.schemas import Passage
from services.rag.writer import Writer

log = structlog.get_logger(__name__)


async def written(
    writer: Writer, question: str, passages: Sequence[Passage]
) -> AsyncGenerator[Supported]:
    """Yield the supported sentences as they come; none when the model refuses."""
    sources = [(passage.title, passage.text) for passage in passages]
    messages = [writer.prompts.system("answer"), writer.prompts.question(question, sources)]
    waiting, dropped = Sentences(), 0
    async with aclosing(writer.stream(messages)) as pieces:
        async for piece in pieces:
            for sentence in waiting.add(piece):
                if REFUSAL in sentence:
                    return
                if (found := supported(sentence, passages)) is not None:
                    yield found
                else:
                    dropped += 1
    for sentence in waiting.rest():
        if REFUSAL not in sentence and (found := supported(sentence, passages)) is not None:
            yield found
        elif REFUSAL not in sentence:
            dropped += 1
    if dropped:
        log.info("unsupported_sentences_dropped", count=dropped)
