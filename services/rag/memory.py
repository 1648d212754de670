"""Conversations: what was asked and answered before."""

import uuid
from dataclasses import dataclass

from kit.errors import NotFound
from services.rag.database import Connection, Database, Row
from services.rag.schemas import Citation, Conversation, ConversationSummary, Turn

EXPIRED_AT_ONCE = 100  # deleted with each new conversation


@dataclass(frozen=True)
class Context:
    """What a follow-up question is understood by: earlier turns in a few words, and the newest."""

    summary: str
    covered: int
    """How many turns the summary stands for."""
    turns: list[Turn]
    """Those that it does not, oldest first."""


class Memory:
    """Stores conversations; another tenant's does not exist, and neither does an expired one."""

    def __init__(self, database: Database, *, days: float) -> None:
        self._database = database
        self._days = days

    async def context(self, tenant: str, conversation: str) -> Context:
        """Return what was said so far; raise NotFound for none such."""
        async with self._database.connection() as connection:
            found = await self._conversation(connection, tenant, conversation)
            rows = await connection.fetch(
                "select * from turns where tenant = $1 and conversation = $2 and position >= $3"
                " order by position",
                *(tenant, conversation, found["summarised"]),
            )
        return Context(found["summary"], found["summarised"], [_turn(row) for row in rows])

    async def summarise(self, tenant: str, conversation: str, summary: str, covered: int) -> None:
        """Keep a summary of the first `covered` turns; one that covers more stays."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "update conversations set summary = $3, summarised = $4"
                " where tenant = $1 and id = $2 and summarised < $4",
                *(tenant, conversation, summary, covered),
            )

    async def remember(self, tenant: str, conversation: str, turn: Turn, *, is_new: bool) -> None:
        """Append a turn, the first one with its conversation; a deleted one stays deleted."""
        async with self._database.transaction() as connection:
            if is_new:
                await self._forget_expired(connection)
                await connection.execute(
                    "insert into conversations (tenant, id) values ($1, $2)", tenant, conversation
                )
            found = await connection.fetchrow(
                "update conversations set used_at = now() where tenant = $1 and id = $2"
                " returning id",
                *(tenant, conversation),
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
        """Return the whole conversation or raise NotFound."""
        async with self._database.connection() as connection:
            found = await self._conversation(connection, tenant, conversation)
            rows = await connection.fetch(
                "select * from turns where tenant = $1 and conversation = $2 order by position",
                *(tenant, conversation),
            )
        return Conversation(
            id=found["id"],
            created_at=found["created_at"],
            expires_at=found["expires_at"],
            summary=found["summary"],
            turns=[_turn(row) for row in rows],
        )

    async def conversations(self, tenant: str, limit: int) -> list[ConversationSummary]:
        """Return the tenant's conversations, the one used last first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "select c.id, c.created_at, c.used_at + make_interval(secs => $2) as expires_at,"
                " (select count(*) from turns t"
                "  where t.tenant = c.tenant and t.conversation = c.id) as turns"
                " from conversations c"
                " where tenant = $1 and used_at > now() - make_interval(secs => $2)"
                " order by used_at desc, id limit $3",
                *(tenant, self._seconds, limit),
            )
        return [ConversationSummary(**row) for row in rows]

    async def forget(self, tenant: str, conversation: str) -> None:
        """Delete the conversation or raise NotFound."""
        async with self._database.transaction() as connection:
            gone = await connection.fetch(
                "delete from conversations where tenant = $1 and id = $2"
                " returning used_at > now() - make_interval(secs => $3) as lived",
                *(tenant, conversation, self._seconds),
            )
        if not gone or not gone[0]["lived"]:
            raise _missing(conversation)

    @property
    def _seconds(self) -> float:
        return self._days * 24 * 3600

    async def _conversation(self, connection: Connection, tenant: str, conversation: str) -> Row:
        row = await connection.fetchrow(
            "select *, used_at + make_interval(secs => $3) as expires_at from conversations"
            " where tenant = $1 and id = $2 and used_at > now() - make_interval(secs => $3)",
            *(tenant, conversation, self._seconds),
        )
        if row is None:
            raise _missing(conversation)
        return row

    async def _forget_expired(self, connection: Connection) -> None:
        """Delete a few that expired; `skip locked`, for other processes do the same."""
        await connection.execute(
            "delete from conversations where (tenant, id) in (select tenant, id from conversations"
            " where used_at < now() - make_interval(secs => $1)"
            " order by used_at limit $2 for update skip locked)",
            *(self._seconds, EXPIRED_AT_ONCE),
        )


def new_id() -> str:
    """Return an id that nobody can guess."""
    return uuid.uuid4().hex


def _turn(row: Row) -> Turn:
    return Turn(
        collection=row["collection"],
        question=row["question"],
        answer=row["answer"],
        answered=row["answer"] is not None,
        citations=[Citation(**citation) for citation in row["citations"]],
        at=row["at"],
    )


def _missing(conversation: str) -> NotFound:
    return NotFound(f"There is no conversation {conversation!r}.")
