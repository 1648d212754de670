"""Several services on one database: they share the work, and none spoils another's."""

import asyncio
import signal
from pathlib import Path

import asyncpg
import httpx2
import numpy as np
import pytest
from pgvector import HalfVector
from pgvector.asyncpg import register_vector

from services.rag.database import MIGRATIONS, DatabaseUnfit, opened
from tests.chaos import rag_system
from tests.rag.support import DIMENSIONS, HashEmbedder, rag, search
from tests.support import until

DOCUMENTS = "/v1/collections/docs/documents"


async def test_of_many_that_start_at_once_one_prepares_the_database(fresh_url):
    async def start() -> int:
        async with opened(fresh_url, connections=2) as database, database.connection() as one:
            return int(await one.fetchval("select count(*) from schema_version"))

    counts = await asyncio.gather(*(start() for _ in range(5)))
    assert set(counts) == {len(list(MIGRATIONS.glob("*.sql")))}


async def test_a_database_of_a_newer_program_is_left_alone(fresh_url):
    async with opened(fresh_url, connections=2) as database, database.connection() as one:
        await one.execute("insert into schema_version (version) values (999)")
    with pytest.raises(DatabaseUnfit, match="newer program"):
        async with opened(fresh_url, connections=2):
            pass


async def test_a_pgvector_that_may_corrupt_an_index_is_refused(fresh_url):
    async with opened(fresh_url, connections=2) as database, database.connection() as one:
        await one.execute("set allow_system_table_mods = on")
        await one.execute("update pg_extension set extversion = '0.8.3' where extname = 'vector'")
    with pytest.raises(DatabaseUnfit, match=r"0\.8\.3; 0\.8\.4 or newer"):
        async with opened(fresh_url, connections=2):
            pass


async def test_a_migration_that_was_changed_after_it_was_applied_is_noticed(fresh_url):
    async with opened(fresh_url, connections=2) as database, database.connection() as one:
        await one.execute("update schema_version set sha256 = 'other' where version = 2")
    with pytest.raises(DatabaseUnfit, match="0002"):
        async with opened(fresh_url, connections=2):
            pass


async def _first_version(url: str, text: str) -> None:
    """Make the tables of the first version, with one indexed document."""
    connection = await asyncpg.connect(url)
    await connection.execute("create extension vector; create schema rag")
    await connection.execute("set search_path to rag, public")
    await register_vector(connection)
    (first,) = sorted(MIGRATIONS.glob("0001*.sql"))
    await connection.execute(
        "create table schema_version"
        " (version integer primary key, applied_at timestamptz not null default now());"
        f"{first.read_text()}; insert into schema_version values (1)"
    )
    await connection.execute(
        "insert into collections (tenant, name, description, chunks, stems)"
        " values ('old', 'docs', '', 1, 2);"
        "insert into documents (tenant, collection, id, version, sha256, title, text, metadata,"
        " language, model, status, chunks)"
        " values ('old', 'docs', 'a', 1, '', '', 'Same text.', '{}', 'en', 'hash@1', 'ready', 1)"
    )
    await connection.execute(
        "insert into chunks values ('old', 'docs', 'a', 1, 0, 0, 10, $1, 2,"
        " array_to_tsvector(array['text']), '{1:1}/1000000000', $2)",
        *(text, HalfVector(np.asarray(HashEmbedder().embed([text])[0]))),
    )
    await connection.close()


async def test_an_older_database_keeps_its_vectors(fresh_url):
    await _first_version(fresh_url, "Same text.")
    embedder = HashEmbedder()
    async with rag(fresh_url, "old", embedder=embedder) as client:
        found = await search(client, "same text", mode="dense")
    assert found[0]["document_id"] == "a"
    assert found[0]["dense_score"] == pytest.approx(1.0, abs=0.01)
    assert "Same text." not in embedder.seen
    async with opened(fresh_url, connections=2) as database, database.connection() as one:
        row = await one.fetchrow("select name, dimensions from embedders")
    assert tuple(row) == ("hash@1", DIMENSIONS)


async def _send(client: httpx2.AsyncClient, urls: list[str], numbers: range) -> None:
    for number in numbers:
        document = {"id": f"d{number}", "text": f"Document {number} says a thing. " * 30}
        url = urls[number % len(urls)]
        answer = await client.post(f"{url}{DOCUMENTS}", json={"documents": [document]})
        assert answer.status_code == 202, answer.text


async def test_two_replicas_share_the_work_and_one_takes_over_from_the_other(short_dir: Path):
    folder = short_dir / "replicas"
    folder.mkdir()
    folder.chmod(0o711)
    async with (
        rag_system.running(folder, 2) as system,
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
    ):
        first, second = system.urls
        await client.put(f"{first}/v1/collections/docs")
        await _send(client, [first, second], range(60))
        await system.services[0].end(signal.SIGKILL)  # with whatever it was at
        await _send(client, [second], range(60, 70))

        async def indexed() -> bool:
            found = (await client.get(f"{second}/v1/collections/docs")).json()
            return bool(found["waiting"] == 0)

        await until(indexed)
        found = (await client.get(f"{second}/v1/collections/docs")).json()
    logs = [path.read_text() for path in sorted(folder.glob("*.log"))]
    assert (found["documents"], found["failed"]) == (70, 0)
    assert all('"indexed"' in log or "result=indexed" in log for log in logs)
    total = sum(log.count("indexed") for log in logs)
    assert total >= 70
