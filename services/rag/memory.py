"""Conversations: what was asked and answered before, and what a follow-up question refers to."""

import uuid

from kit.errors import NotFound
from services.rag import language
from services.rag.database import Database
from services.rag.schemas import Citation, Conversation, Turn

SHORT_STEMS = 2  # a question with so few words of its own leans on the one before


class Memory:
    """Stores conversations; another tenant's does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last_question(self, tenant: str, conversation: str) -> str | None:
        """Return the newest turn's question, none in an empty one; raise NotFound for none such."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                "select (select question from turns t where t.tenant = c.tenant"
                " and t.conversation = c.id order by position desc limit 1) as question"
                " from conversations c where tenant = $1 and id = $2",
                tenant,
                conversation,
            )
        if row is None:
            raise _missing(conversation)
        question: str | None = row["question"]
        return question

    async def remember(self, tenant: str, conversation: str, turn: Turn, *, is_new: bool) -> None:
        """Append a turn, the first one with its conversation; a deleted one stays deleted."""
        async with self._database.transaction() as connection:
            if is_new:
                await connection.execute(
                    "insert into conversations (tenant, id) values ($1, $2)", tenant, conversation
                )
            found = await connection.fetchrow(
                "select id from conversations where tenant = $1 and id = $2 for no key update",
                tenant,
                conversation,
            )
            if found is None:
                return
            await connection.execute(
                "insert into turns"
                " (tenant, conversation, position, collection, question, answer, citations, at)"
                " select $1, $2, count(*), $3, $4, $5, $6, $7 from turns"
                " where tenant = $1 and conversation = $2",
                *(tenant, conversation, turn.collection, turn.question, turn.answer),
                [citation.model_dump() for citation in turn.citations],
                turn.at,
            )

    async def read(self, tenant: str, conversation: str) -> Conversation:
        """Return the conversation or raise NotFound."""
        async with self._database.connection() as connection:
            found = await connection.fetchrow(
                "select id, created_at from conversations where tenant = $1 and id = $2",
                tenant,
                conversation,
            )
            rows = await connection.fetch(
                "select * from turns where tenant = $1 and conversation = $2 order by position",
                tenant,
                conversation,
            )
        if found is None:
            raise _missing(conversation)
        turns = [
            Turn(
                collection=row["collection"],
                question=row["question"],
                answer=row["answer"],
                answered=row["answer"] is not None,
                citations=[Citation(**citation) for citation in row["citations"]],
                at=row["at"],
            )
            for row in rows
        ]
        return Conversation(id=found["id"], created_at=found["created_at"], turns=turns)

    async def forget(self, tenant: str, conversation: str) -> None:
        """Delete the conversation or raise NotFound."""
        async with self._database.transaction() as connection:
            gone = await connection.fetch(
                "delete from conversations where tenant = $1 and id = $2 returning id",
                tenant,
                conversation,
            )
        if not gone:
            raise _missing(conversation)


def new_id() -> str:
    """Return an id that nobody can guess."""
    return uuid.uuid4().hex


def self_contained(question: str, before: str | None) -> str:
    """Return the question with the one before in front of it if it seems to lean on that.

    It does when it holds a pointing word ('it', 'eso', 'там') or hardly any word of its own.
    """
    if before is None:
        return question
    own = set(language.stems(question, [language.detect(question)]))
    if len(own) > SHORT_STEMS and not language.points_back(question):
        return question
    return f"{before} {question}"


def _missing(conversation: str) -> NotFound:
    return NotFound(f"There is no conversation {conversation!r}.")
