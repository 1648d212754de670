"""Upload a folder: `python -m services.rag.load FOLDER --collection handbook`.

Files that the collection already holds, by their checksum, are not sent again: after an interruption
the same command goes on. A file that cannot be read is reported and the others go on. With `--prune`
documents whose file has left the folder are deleted. Ends with 1 when a file could not be read.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from services.rag.uploads import READABLE

BATCH_FILES = 50
BATCH_BYTES = 8 * 2**20  # well below what the service takes by default
TIMEOUT_SECONDS = 900.0  # one request may hold many files that take their time
RETRIES = 8
FIELDS = (
    "encoding",
    "question_column",
    "answer_column",
    "id_column",
    "metadata_columns",
    "metadata",
)


@dataclass
class Report:
    """What became of the folder's files."""

    sent: int = 0
    unchanged: int = 0
    deleted: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file under its name within the folder."""

    name: str
    path: Path

    def content(self) -> bytes:
        """Read it."""
        return self.path.read_bytes()


def load(
    client: httpx2.Client, collection: str, folder: Path, form: dict[str, str], *, prune: bool
) -> Report:
    """Upload what the collection lacks of the folder; blocking."""
    report, where = Report(), f"/v1/collections/{collection}"
    if _asked(client, "GET", where).status_code == 404:
        _succeeded(_asked(client, "PUT", where))
    there = dict(_there(client, where))
    files = list(_files(folder))
    batch: list[tuple[File, bytes]] = []
    for file in files:
        content = file.content()
        if there.get(file.name) == hashlib.sha256(content).hexdigest():
            report.unchanged += 1
            continue
        size = sum(len(one) for _, one in batch) + len(content)
        if batch and (len(batch) == BATCH_FILES or size > BATCH_BYTES):
            _send(client, where, batch, form, report)
            batch = []
        batch.append((file, content))
    _send(client, where, batch, form, report)
    if prune:
        _prune(client, where, {file.name for file in files}, report)
    return report


def _files(folder: Path) -> Iterator[File]:
    """Yield the readable files below the folder, hidden ones left out, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in READABLE and path.is_file() and not is_hidden:
            yield File(relative.as_posix(), path)


def _there(client: httpx2.Client, where: str) -> Iterator[tuple[str, str]]:
    """Yield file and checksum of the collection's documents that need no new try."""
    for document in _documents(client, where):
        if document["file"] and document["status"] != "failed":
            yield document["file"], document["file_sha256"]


def _documents(client: httpx2.Client, where: str) -> Iterator[dict[str, Any]]:
    after: str | None = ""
    while after is not None:
        parameters = {"after": after, "limit": "1000"}
        page = _succeeded(_asked(client, "GET", f"{where}/documents", params=parameters)).json()
        yield from page["documents"]
        after = page["next"]


def _send(
    client: httpx2.Client,
    where: str,
    batch: list[tuple[File, bytes]],
    form: dict[str, str],
    report: Report,
) -> None:
    """Send the files; when some cannot be read, the others without them."""
    if not batch:
        return
    parts = [("files", (file.name, content)) for file, content in batch]
    answer = _asked(client, "POST", f"{where}/documents", files=parts, data=form)
    if answer.is_success:
        report.sent += len(batch)
        _say(f"{report.sent} files sent, {report.unchanged} unchanged")
    elif len(batch) == 1:
        report.unreadable.append(f"{batch[0][0].name}: {answer.json().get('detail', answer.text)}")
        _say(report.unreadable[-1])
    else:
        refused = {one.get("file") for one in answer.json().get("errors", [])}
        bad = [one for one in batch if one[0].name in refused]
        good = [one for one in batch if one[0].name not in refused]
        groups = [good, *([one] for one in bad)] if bad else [[one] for one in batch]
        for group in groups:
            _send(client, where, group, form, report)


def _prune(client: httpx2.Client, where: str, names: set[str], report: Report) -> None:
    gone = [one for one in _documents(client, where) if one["file"] and one["file"] not in names]
    for document in gone:
        _asked(client, "DELETE", f"{where}/documents/{document['id']}")
        report.deleted += 1


def _asked(client: httpx2.Client, method: str, path: str, **more: Any) -> httpx2.Response:
    """Ask until the service answers; it may be starting or busy."""
    for attempt in range(RETRIES):
        try:
            answer = client.request(method, path, **more)
        except httpx2.TransportError as error:
            if attempt == RETRIES - 1:
                raise SystemExit(f"{client.base_url} cannot be reached: {error}") from None
        else:
            if answer.status_code not in {429, 503} or attempt == RETRIES - 1:
                return answer
        time.sleep(min(30.0, 0.5 * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


def _succeeded(answer: httpx2.Response) -> httpx2.Response:
    if not answer.is_success:
        raise SystemExit(f"{answer.request.url}: {answer.status_code} {answer.text[:500]}")
    return answer


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Upload the folder and say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8004", help="the service or the gateway")
    parser.add_argument("--tenant", default="default")
    parser.add_argument("--key", help="an API key, sent as a bearer token")
    parser.add_argument("--prune", action="store_true", help="delete what left the folder")
    for name in FIELDS:
        parser.add_argument(f"--{name.replace('_', '-')}")
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder} is no folder")
    headers = {"X-Tenant": given.tenant}
    if given.key:
        headers["Authorization"] = f"Bearer {given.key}"
    form = {name: getattr(given, name) for name in FIELDS if getattr(given, name)}
    with httpx2.Client(
        base_url=given.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False
    ) as client:
        report = load(client, given.collection, given.folder, form, prune=given.prune)
    sys.stdout.write(json.dumps(report.__dict__, ensure_ascii=False) + "\n")
    return 1 if report.unreadable else 0


if __name__ == "__main__":
    raise SystemExit(main())
