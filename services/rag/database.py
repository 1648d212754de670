"""The pool of connections, the schema's migrations, and what an unreachable database means."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from pgvector.asyncpg import register_vector

from kit.errors import NotReady

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x73776272  # any number, as long as it is ours: "swbr"
OLDEST_PGVECTOR = (0, 8, 4)  # earlier ones can corrupt an HNSW index (pgvector #988, #993)
CONNECT_SECONDS = 5.0
RETRY_SECONDS = 0.25
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What asyncpg raises while the server is down, starting, stopping or full."""

Connection = Any  # asyncpg publishes no types
Row = Any
log = structlog.get_logger(__name__)


class DatabaseUnfit(Exception):
    """The database can be reached and cannot be used; the message says why."""


class Database:
    """A pool on one database.

    While the server is away every use raises NotReady; connections come back by themselves.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend a connection."""
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except AWAY as error:
            reason = f"The database cannot be reached ({type(error).__name__})."
            raise NotReady(reason, headers={"Retry-After": "1"}) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Lend a connection inside a transaction that the block's end commits durably."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Connection]:
        """Lend a connection to which nothing changes until the block ends."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def check(self) -> None:
        """Raise NotReady unless the database answers."""
        async with self.connection() as connection:
            await connection.fetchval("select 1")


@asynccontextmanager
async def opened(
    url: str, *, connections: int, tell: Callable[[str], None] = lambda _: None
) -> AsyncGenerator[Database]:
    """Wait for the database, bring its schema up to date and yield a pool on it.

    `tell` hears what is waited for. Raises DatabaseUnfit when waiting would not help.
    """
    schema = await _prepared(url, tell)

    async def set_up(connection: Connection) -> None:
        await register_vector(connection, schema=schema)
        await connection.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )

    async with asyncpg.create_pool(
        url,
        min_size=0,
        max_size=connections,
        init=set_up,
        timeout=CONNECT_SECONDS,
        # jit costs more than it brings to queries of milliseconds.
        server_settings={
            "search_path": f"rag,{schema}",
            "synchronous_commit": "on",
            "jit": "off",
        },
    ) as pool:
        yield Database(pool)


async def _prepared(url: str, tell: Callable[[str], None]) -> str:
    """Migrate as soon as the server answers; return the schema that holds pgvector."""
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
            try:
                return await migrate(connection)
            finally:
                await connection.close()
        except AWAY as error:
            tell(f"waiting for the database: {type(error).__name__}")
            await asyncio.sleep(RETRY_SECONDS)


async def migrate(connection: Connection) -> str:
    """Apply the migrations that are missing, one process at a time."""
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        schema = await _pgvector_schema(connection)
        await _check_durability(connection)
        await connection.execute("create schema if not exists rag")
        await connection.execute(f"set local search_path to rag, {schema}")
        await connection.execute(
            "create table if not exists schema_version"
            " (version integer primary key, applied_at timestamptz not null default now())"
        )
        await connection.execute("alter table schema_version add if not exists sha256 text")
        done = await connection.fetch("select version, sha256 from schema_version order by version")
        known = await asyncio.to_thread(_migrations)
        _check_history({row["version"]: row["sha256"] for row in done}, known)
        for version, migration in list(enumerate(known, start=1))[len(done) :]:
            await connection.execute(migration.statements)
            await connection.execute(
                "insert into schema_version (version, sha256) values ($1, $2)",
                *(version, migration.sha256),
            )
            log.info("schema_migrated", version=version)
    return schema


@dataclass(frozen=True)
class _Migration:
    """One file of statements."""

    name: str
    statements: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.statements.encode()).hexdigest()


def _migrations() -> list[_Migration]:
    """Return the statements of each version, in order."""
    return [_Migration(file.name, file.read_text()) for file in sorted(MIGRATIONS.glob("*.sql"))]


def _check_history(done: dict[int, str | None], known: list[_Migration]) -> None:
    """Refuse a database that has seen other migrations than this program knows."""
    newest = max(done, default=0)
    if newest > len(known):
        raise DatabaseUnfit(
            f"The database's schema has version {newest}, this program knows {len(known)}: "
            "run the newer program."
        )
    for version, sha256 in done.items():
        migration = known[version - 1]
        if (
            sha256 is not None and sha256 != migration.sha256
        ):  # those of the first program have none
            raise DatabaseUnfit(f"{migration.name} is not what was applied to this database.")


async def _pgvector_schema(connection: Connection) -> str:
    """Make sure of pgvector and return the schema it is installed in."""
    try:
        await connection.execute("create extension if not exists vector schema public")
    except (
        asyncpg.InsufficientPrivilegeError,
        asyncpg.FeatureNotSupportedError,
        asyncpg.UndefinedFileError,
    ) as error:
        raise DatabaseUnfit(f"pgvector cannot be installed in this database: {error}") from error
    found = await connection.fetchrow(
        "select extversion, nspname from pg_extension e join pg_namespace n"
        " on n.oid = e.extnamespace where extname = 'vector'"
    )
    version = tuple(int(part) for part in found["extversion"].split(".")[:3])
    if version < OLDEST_PGVECTOR:
        raise DatabaseUnfit(
            f"pgvector is {found['extversion']}; 0.8.4 or newer is needed: "
            "install it and run `alter extension vector update`."
        )
    schema: str = found["nspname"]
    return schema


async def _check_durability(connection: Connection) -> None:
    """Refuse a server that would lose acknowledged documents in a power cut."""
    for setting in ("fsync", "full_page_writes"):
        if await connection.fetchval("select current_setting($1)", setting) != "on":
            raise DatabaseUnfit(f"The database runs with {setting}=off and may lose documents.")
