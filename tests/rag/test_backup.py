"""What was saved comes back: documents, search, conversations and waiting jobs."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from services.rag.postgres import Postgres
from tests.rag.support import HashEmbedder, fill, rag, search

DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "cats",
        "title": "Cats",
        "text": "Cats sleep long. They hunt mice.",
        "metadata": {"n": 1},
    },
    {"id": "ru", "text": "Возврат средств занимает пять рабочих дней."},
]


def backup(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "services.rag.backup", *arguments],
        env={**os.environ, "RAG_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


async def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:

    return await asyncio.to_thread(backup, folder, *arguments)


async def test_a_backup_of_a_running_service_is_restored_elsewhere(short_dir, tenant, tmp_path):
    there, elsewhere, file = short_dir / "saved", short_dir / "restored", tmp_path / "rag.backup"
    server = Postgres(there)
    server.start()
    embedder = HashEmbedder()
    try:
        async with rag(server.url, tenant, answers={"mice": "mice"}) as client:
            receipts = await fill(client, *DOCUMENTS)
            asked = await client.post("/v1/collections/docs/ask", json={"question": "mice?"})
            before = [
                await search(client, "mice днями", mode=mode) for mode in ("dense", "keyword")
            ]
            saved = await run(there, "save", str(file))
    finally:
        server.stop()
    assert saved.returncode == 0, saved.stderr
    restored = await run(elsewhere, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    server = Postgres(elsewhere)
    server.start()
    try:
        async with rag(server.url, tenant, embedder=embedder) as client:
            after = [await search(client, "mice днями", mode=mode) for mode in ("dense", "keyword")]
            again = await fill(client, *DOCUMENTS)
            turns = await client.get(f"/v1/conversations/{asked.json()['conversation_id']}")
            await fill(client, {"id": "new", "text": "Written after the restore."})
            new = await search(client, "restore", mode="dense")
    finally:
        server.stop()
    assert after == before
    assert again == receipts
    assert turns.json()["turns"][0]["question"] == "mice?"
    assert new[0]["document_id"] == "new"
    assert not any("Cats" in text for text in embedder.seen)  # nothing was made anew


async def test_a_restore_never_overwrites_and_a_failed_one_changes_nothing(
    short_dir, tenant, tmp_path
):
    folder, good, bad = short_dir / "kept", tmp_path / "rag.backup", tmp_path / "bad.backup"
    server = Postgres(folder)
    server.start()
    try:
        async with rag(server.url, tenant) as client:
            await fill(client, DOCUMENTS[0])
            assert (await run(folder, "save", str(good))).returncode == 0
            bad.write_bytes(good.read_bytes()[:-200])
            await fill(client, DOCUMENTS[1])
        refused = await run(folder, "restore", str(good))
        failed = await run(folder, "restore", str(bad), "--replace")
        async with rag(server.url, tenant) as client:
            kept = (await client.get("/v1/collections/docs")).json()
        done = await run(folder, "restore", str(good), "--replace")
        async with rag(server.url, tenant) as client:
            replaced = (await client.get("/v1/collections/docs")).json()
        connection = await asyncpg.connect(server.url)
        left = await connection.fetchval("select to_regnamespace('rag_before')")
        await connection.close()
    finally:
        server.stop()
    assert (refused.returncode, failed.returncode, done.returncode) == (1, 1, 0)
    assert "--replace" in refused.stderr
    assert (kept["documents"], replaced["documents"]) == (2, 1)
    assert left is None
