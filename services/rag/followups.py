"""Make a follow-up question self-contained: by the language model, or by a rule."""

import json
from collections.abc import Sequence

import structlog

from kit.errors import ServiceError
from services.rag import language
from services.rag.memory import Context, Memory
from services.rag.schemas import Turn
from services.rag.writer import Writer

SHORT_STEMS = 2  # a question with so few words of its own leans on the one before
MAX_CHARS = 1000  # of a rewritten question, and of what is put in front of one
MAX_SUMMARY_CHARS = 4000

log = structlog.get_logger(__name__)


class FollowUps:
    """Reads questions in the light of their conversation."""

    def __init__(self, memory: Memory, writer: Writer | None, *, turns: int) -> None:
        self._memory = memory
        self._writer = writer
        self._turns = turns

    async def self_contained(self, tenant: str, conversation: str, question: str) -> str:
        """Return the question as it can be understood alone; raise NotFound for no conversation.

        A language model that fails leaves the matter to the rule.
        """
        context = await self._memory.context(tenant, conversation)
        questions = [turn.question for turn in context.turns[-self._turns :]]
        if self._writer is None or not (context.turns or context.summary):
            return by_rule(question, questions)
        try:
            context = await self._folded(self._writer, tenant, conversation, context)
            return await _rewritten(self._writer, question, context) or question
        except ServiceError as error:
            log.warning("rewriting_failed", reason=error.detail)
            return by_rule(question, questions)

    async def _folded(
        self, writer: Writer, tenant: str, conversation: str, context: Context
    ) -> Context:
        """Fold old turns into the summary once there are twice as many as are read."""
        if len(context.turns) <= 2 * self._turns:
            return context
        old, new = context.turns[: -self._turns], context.turns[-self._turns :]
        told = {"role": "user", "content": _told(context.summary, old)}
        summary = await writer.note([writer.prompts.system("summary"), told])
        summary = summary.replace("\0", "")[:MAX_SUMMARY_CHARS]
        if not summary:
            return context
        covered = context.covered + len(old)
        await self._memory.summarise(tenant, conversation, summary, covered)
        return Context(summary, covered, new)


def by_rule(question: str, before: Sequence[str]) -> str:
    """Return the question with those before in front of it as far as it leans on them.

    It leans on the one before when it holds a pointing word ('it', 'eso', 'там') or hardly any
    word of its own; that one may lean on another in turn.
    """
    full = ""
    for one in [*before, question]:
        full = f"{full[-MAX_CHARS:]} {one}".strip() if full and _leans(one) else one
    return full


def _leans(question: str) -> bool:
    own = set(language.stems(question, [language.detect(question)]))
    return len(own) <= SHORT_STEMS or language.points_back(question)


async def _rewritten(writer: Writer, question: str, context: Context) -> str:
    told = f"{_told(context.summary, context.turns)}\n\nLast question: {json.dumps(question, ensure_ascii=False)}"
    written = await writer.note(
        [writer.prompts.system("rewrite"), {"role": "user", "content": told}]
    )
    lines = [line.strip().strip('"') for line in written.replace("\0", "").splitlines()]
    return next((line for line in lines if line), "")[:MAX_CHARS]


def _told(summary: str, turns: Sequence[Turn]) -> str:
    """Return a conversation as JSON lines, which no text can break out of."""
    lines = [{"earlier": summary}] if summary else []
    lines += [{"question": turn.question, "answer": turn.answer or ""} for turn in turns]
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
