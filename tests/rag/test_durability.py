"""Nothing acknowledged is lost: real servers and processes are killed, and come back."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from asgi_lifespan import LifespanManager
from pydantic import SecretStr

from services.rag import postgres
from services.rag.app import create_app
from services.rag.chunking import Span
from services.rag.database import Database, opened
from services.rag.jobs import Jobs
from services.rag.postgres import Postgres, PostgresUnavailable
from services.rag.postings import Chunk
from services.rag.schemas import NewDocument
from services.rag.settings import Settings
from services.rag.store import Store
from tests.rag.support import HashEmbedder, fill, rag, search
from tests.support import client_for, until


@pytest.fixture
def folder(short_dir: Path) -> Path:
    """Return the folder of these tests' own servers; making one anew takes seconds."""
    return short_dir / "own"


@asynccontextmanager
async def own_server(folder: Path) -> AsyncGenerator[Postgres]:
    server = Postgres(folder)
    await anyio.to_thread.run_sync(server.start)
    try:
        yield server
    finally:
        await anyio.to_thread.run_sync(server.stop)


@asynccontextmanager
async def stored(url: str) -> AsyncGenerator[tuple[Store, Jobs]]:
    async with opened(url, connections=4) as database:
        yield Store(database), Jobs(database)


async def upload(client: httpx2.AsyncClient, number: int) -> list[str]:
    """Send a few documents until they are acknowledged; return their ids."""
    batch = [{"id": f"d{number}-{one}", "text": f"Text {number} {one}. " * 40} for one in range(3)]

    async def acknowledged() -> httpx2.Response | None:
        answer = await client.post("/v1/collections/docs/documents", json={"documents": batch})
        assert answer.status_code in {201, 202, 503}, answer.text
        return answer if answer.is_success else None

    return [one["id"] for one in (await until(acknowledged)).json()["documents"]]


async def test_killing_postgres_again_and_again_loses_no_acknowledged_document(folder, tenant):
    acknowledged: list[str] = []
    async with (
        own_server(folder) as server,
        rag(server.url, tenant, lease_seconds=1) as client,
    ):
        await client.put("/v1/collections/docs")
        for number in range(8):
            acknowledged += await upload(client, number)
            if number in {2, 5}:
                assert server.process is not None
                server.process.kill()

        async def all_indexed() -> dict[str, Any] | None:
            answer = await client.get("/v1/collections/docs")
            collection: dict[str, Any] = answer.json()
            return collection if answer.is_success and collection["waiting"] == 0 else None

        collection = await until(all_indexed, seconds=90)
        for document in acknowledged:
            stored = (await client.get(f"/v1/collections/docs/documents/{document}")).json()
            assert (stored["status"], stored["text"][:5]) == ("ready", "Text ")
        found = await search(client, "text", k=100, mode="keyword")
    assert len(set(acknowledged)) == 24
    assert (collection["documents"], collection["chunks"], collection["failed"]) == (24, 24, 0)
    assert len({one["document_id"] for one in found}) == 24


async def test_an_absent_database_is_503_with_a_reason_and_comes_back_by_itself(folder, tenant):
    async with own_server(folder) as server, rag(server.url, tenant) as client:
        await fill(client, {"id": "a", "text": "Here I am."})
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)  # nothing can be accepted or answered ...
        os.kill(server.process.pid, signal.SIGKILL)  # ... and now it is gone

        async def away() -> httpx2.Response | None:
            answer = await client.get("/v1/collections/docs")
            return answer if answer.status_code == 503 else None

        async def back() -> bool:
            return (await client.get("/readyz")).status_code == 200

        refused = await until(away)
        await until(back)
        found = await search(client, "here")
    assert "database" in refused.json()["detail"]
    assert [one["document_id"] for one in found] == ["a"]


async def claim_of(jobs: Jobs, tenant: str, lease_seconds: float) -> Any:
    """Claim until the tenant's own job comes; other tests' jobs stay leased for a moment."""
    while True:
        job = await jobs.claim(lease_seconds)
        assert job is not None
        if job.key[0] == tenant:
            return job


async def test_a_document_left_by_a_dead_worker_is_taken_up_again(database_url, tenant):
    async with stored(database_url) as (store, jobs):
        await store.create((tenant, "docs"), "")
        await store.add((tenant, "docs"), [NewDocument(id="left", text="Left behind.")])
        await claim_of(jobs, tenant, 0.5)
        async with rag(database_url, tenant) as client:

            async def ready() -> bool:
                answer = await client.get("/v1/collections/docs/documents/left")
                return bool(answer.json()["status"] == "ready")

            await until(ready)


async def test_a_worker_whose_lease_went_to_another_changes_nothing(database_url, tenant):
    chunk = Chunk(Span(0, 5), "Text.", ["text"], {})
    async with stored(database_url) as (store, jobs):
        await store.create((tenant, "docs"), "")
        await store.add((tenant, "docs"), [NewDocument(id="a", text="Text.")])
        slow = await claim_of(jobs, tenant, 0.0)
        quick = await claim_of(jobs, tenant, 60.0)
        assert await jobs.index(quick, [chunk], "en")
        assert not await jobs.index(slow, [chunk, chunk], "en")
        assert (await store.collection((tenant, "docs"))).chunks == 1


async def test_a_job_that_is_given_back_is_not_charged(database_url, tenant):
    async with stored(database_url) as (store, jobs):
        await store.create((tenant, "docs"), "")
        await store.add((tenant, "docs"), [NewDocument(id="a", text="Text.")])
        first = await claim_of(jobs, tenant, 60.0)
        await jobs.release(first)
        assert (await claim_of(jobs, tenant, 60.0)).attempts == first.attempts
        await store.drop((tenant, "docs"))


async def test_a_job_without_its_document_does_not_stay(database_url, tenant):
    async with stored(database_url) as (store, _), opened(database_url, connections=1) as database:
        await store.create((tenant, "docs"), "")
        async with database.connection() as connection:
            await connection.execute("insert into jobs values ($1, 'docs', 'none', 1)", tenant)
            async with rag(database_url, tenant):

                async def gone() -> bool:
                    query = "select not exists(select from jobs where tenant = $1)"
                    return bool(await connection.fetchval(query, tenant))

                await until(gone)


async def test_another_model_makes_the_vectors_anew(database_url, tenant):
    other = HashEmbedder()
    other.revision = "2"
    async with rag(database_url, tenant) as client:
        await fill(client, {"id": "a", "text": "Same text."})
    async with rag(database_url, tenant, embedder=other) as client:

        async def found() -> list[dict[str, Any]]:
            return await search(client, "same text", mode="dense")

        assert (await until(found))[0]["document_id"] == "a"


def start_and_die(folder: Path) -> None:
    """Run a server from a process that is then killed."""
    code = (
        "import sys, time, pathlib; from services.rag.postgres import Postgres;"
        "server = Postgres(pathlib.Path(sys.argv[1])); server.start();"
        "print('started', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()


async def test_the_server_ends_with_the_process_that_started_it(folder):
    await anyio.to_thread.run_sync(start_and_die, folder)

    async def ended() -> bool:
        return not postgres.working_in(folder / "db")

    await until(ended)


async def test_a_server_starts_where_another_was_killed_a_moment_ago(folder):
    await anyio.to_thread.run_sync(start_and_die, folder)
    async with own_server(folder) as server, opened(server.url, connections=2) as database:
        await database.check()


async def test_a_folder_belongs_to_one_process(folder):
    async with own_server(folder):
        with pytest.raises(PostgresUnavailable, match="Another process"):
            Postgres(folder).start()


async def test_russian_letters_have_a_lower_case(database_url):
    async with opened(database_url, connections=2) as database:
        assert isinstance(database, Database)
        async with database.connection() as connection:
            assert await connection.fetchval("select lower('ЛЕЧЕНИЕ ÁRBOL')") == "лечение árbol"


async def test_a_service_without_its_database_says_what_it_waits_for(short_dir):
    nowhere = SecretStr(f"postgresql://nobody:none@/none?host={short_dir}/nowhere")
    app = create_app(Settings(database_url=nowhere), HashEmbedder())
    async with LifespanManager(app), client_for(app) as client:

        async def reason() -> str | None:
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            text: str = answer.json()["failures"]["state"]
            return text if "database" in text else None

        assert "waiting for the database" in await until(reason)
        refused = await client.get("/v1/collections")
    assert refused.status_code == 503
    assert "database" in refused.json()["detail"]
