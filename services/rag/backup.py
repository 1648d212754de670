"""Save everything that rag stores into one file, and put it back.

    python -m services.rag.backup save FILE
    python -m services.rag.backup restore FILE [--replace]

Works on the database that the settings name (`RAG_DATABASE_URL`, or the own server in
`RAG_DATA_DIR`, whether its service runs or not), with PostgreSQL's own pg_dump and pg_restore. A
backup is of one moment, and services may go on writing. Stop them for a restore: it is all or nothing,
and needs a database in which rag holds no documents, or `--replace`.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

import kit.settings
from services.rag import database, postgres
from services.rag.postgres import PostgresUnavailable
from services.rag.settings import Settings

HOW = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
CONNECT_SECONDS = 2.0


class BackupFailed(Exception):
    """Nothing was saved or restored; the message says why."""


async def save(url: str, file: Path) -> None:
    """Write a consistent copy; the file appears when it is whole. Raises BackupFailed."""
    part = file.with_name(f"{file.name}.part")
    try:
        more = ("--format=custom", "--schema=rag", f"--file={part}")
        await _run("pg_dump", *more, _without_password(url), url=url)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


async def restore(url: str, file: Path, *, replace: bool) -> None:
    """Make the database hold what the file holds; a failure leaves it as it was. Raises BackupFailed."""
    # To open it also brings pgvector, which the file takes for granted.
    async with database.opened(url, connections=1) as opened, opened.connection() as connection:
        if not replace and await connection.fetchval("select exists(select from documents)"):
            raise BackupFailed("The database holds documents; --replace puts the file's in place.")
        if await connection.fetchval("select to_regnamespace('rag_before')"):
            raise BackupFailed(
                "A restore was interrupted and its schema rag_before holds what there was: undo it "
                "with `drop schema rag cascade; alter schema rag_before rename to rag`, or drop it."
            )
        await connection.execute("alter schema rag rename to rag_before")
        try:
            await _run("pg_restore", *HOW, f"--dbname={_with_memory(url)}", str(file), url=url)
        except BackupFailed:
            await connection.execute("drop schema if exists rag cascade")
            await connection.execute("alter schema rag_before rename to rag")
            raise
        await connection.execute("drop schema rag_before cascade")


async def _run(program: str, *arguments: str, url: str) -> None:
    """Run one of PostgreSQL's programs, those of the wheel, which know servers up to their own."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [str(postgres.programs() / program), *arguments],
        env={"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": urlsplit(url).password or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise BackupFailed(f"{program}: {ended.stderr.strip()[-1000:]}")


def _without_password(url: str) -> str:
    """Return the URL as other users of the machine may see it in a command line."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.split(':')[0]}@{host}" if user else host))


def _with_memory(url: str) -> str:
    """Let the index of vectors be built in this memory: seconds instead of minutes."""
    shown = _without_password(url)
    return f"{shown}{'&' if '?' in shown else '?'}options=-c%20maintenance_work_mem%3D512MB"


@asynccontextmanager
async def reached(settings: Settings) -> AsyncGenerator[str]:
    """Yield the database's URL; the own server is started unless its service runs."""
    if settings.database_url:
        yield settings.database_url.get_secret_value()
        return
    url = postgres.Postgres(settings.data_dir).running_url()
    if url and await _answers(url):
        yield url
        return
    async with postgres.running(settings.data_dir) as url:
        yield url


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (*database.AWAY, TimeoutError):
        return False
    await connection.close()
    return True


async def _do(given: argparse.Namespace) -> None:
    async with reached(kit.settings.load(Settings)) as url:
        if given.what == "save":
            async with database.opened(url, connections=1):
                pass  # it is there and its schema is ours
            await save(url, given.file)
        else:
            await restore(url, given.file, replace=given.replace)


def main() -> int:
    """Do what the command line says; return 1 when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("save", "restore"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--replace", action="store_true", help="delete what the database holds")
    given = parser.parse_args()
    if given.what == "restore" and not given.file.is_file():
        parser.error(f"there is no file {given.file}")
    try:
        asyncio.run(_do(given))
    except (BackupFailed, PostgresUnavailable, database.DatabaseUnfit) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
