"""Store documents with their jobs, so that the same content again changes nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.rag import postings
from services.rag.database import Connection
from services.rag.postings import Key
from services.rag.schemas import DocumentStatus, FileDocument, NewDocument, Receipt

ROWS_PER_STATEMENT = 64
AS_FILE = {"id", "file", "file_sha256"}  # no part of the content


@dataclass(frozen=True)
class _State:
    """The newest version of a document."""

    version: int
    sha256: bytes
    status: DocumentStatus


def digest(document: NewDocument) -> bytes:
    """Return the checksum of a document's content."""
    content = document.model_dump(exclude=AS_FILE)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


async def add(
    connection: Connection, key: Key, documents: Sequence[NewDocument], digests: Sequence[bytes]
) -> list[Receipt]:
    """Insert what is new, in the collection that is locked; return a receipt per document."""
    names = [one.id or sha.hex()[:20] for one, sha in zip(documents, digests, strict=True)]
    states = await _states(connection, key, names)
    new: dict[str, tuple[Any, ...]] = {}
    receipts = []
    for name, document, sha in zip(names, documents, digests, strict=True):
        last = states.get(name)
        if last is None or last.sha256 != sha or last.status == "failed":
            last = states[name] = _State(last.version + 1 if last else 1, sha, "waiting")
            new[name] = (*key, name, last.version, sha, *_columns(document), "waiting")
        receipts.append(Receipt(id=name, version=last.version, status=last.status))
    await _insert(connection, key, new)
    await _follow_files(connection, key, names, documents)
    return receipts


async def remove(connection: Connection, key: Key, document: str) -> bool:
    """Delete all versions with everything made of them; tell whether there were any."""
    await postings.remove(connection, key, document)
    await delete_jobs(connection, key, [document])
    gone = await connection.fetch(
        "delete from documents where tenant = $1 and collection = $2 and id = $3 returning id",
        *key,
        document,
    )
    return bool(gone)


async def delete_jobs(connection: Connection, key: Key, documents: Sequence[str]) -> None:
    """Delete the documents' jobs; a worker that is at one will change nothing."""
    await connection.execute(
        "delete from jobs where tenant = $1 and collection = $2 and document = any($3)",
        *key,
        list(documents),
    )


async def _states(connection: Connection, key: Key, names: Sequence[str]) -> dict[str, _State]:
    rows = await connection.fetch(
        "select distinct on (id) id, version, sha256, status from documents"
        " where tenant = $1 and collection = $2 and id = any($3) order by id, version desc",
        *key,
        list(set(names)),
    )
    return {row["id"]: _State(row["version"], row["sha256"], row["status"]) for row in rows}


def _columns(document: NewDocument) -> tuple[Any, ...]:
    return (document.title, document.text, document.metadata, document.language)


async def _insert(connection: Connection, key: Key, new: dict[str, tuple[Any, ...]]) -> None:
    """Replace the versions that nobody has seen yet."""
    if not new:
        return
    await connection.execute(
        "delete from documents"
        " where tenant = $1 and collection = $2 and id = any($3) and status <> 'ready'",
        *key,
        list(new),
    )
    rows = list(new.values())
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        await connection.executemany(
            "insert into documents"
            " (tenant, collection, id, version, sha256, title, text, metadata, language, status)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            rows[start : start + ROWS_PER_STATEMENT],
        )
    await delete_jobs(connection, key, list(new))
    await connection.execute(
        "insert into jobs (tenant, collection, document, version)"
        " select $1, $2, * from unnest($3::text[], $4::integer[])",
        *(*key, list(new), [row[3] for row in rows]),
    )


async def _follow_files(
    connection: Connection, key: Key, names: Sequence[str], documents: Sequence[NewDocument]
) -> None:
    """Note which file a document is from, and delete what its file does not hold any more."""
    files = {
        name: (document.file, bytes.fromhex(document.file_sha256))
        for name, document in zip(names, documents, strict=True)
        if isinstance(document, FileDocument)
    }
    if not files:
        return
    await connection.executemany(
        "update documents set file = $4, file_sha256 = $5 where tenant = $1 and collection = $2"
        " and id = $3 and (file, file_sha256) is distinct from ($4, $5)",
        [(*key, name, *file) for name, file in files.items()],
    )
    left = await connection.fetch(
        "select distinct id from documents where tenant = $1 and collection = $2"
        " and file = any($3) and id <> all($4)",
        *key,
        list({file for file, _ in files.values()}),
        list(files),
    )
    for row in left:
        await remove(connection, key, row["id"])
