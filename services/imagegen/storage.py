"""Pictures in a folder or a bucket, apart by tenant.

A job's files lie under `tenant=TENANT/ID/`: sources under `sources/`, what a worker painted under
its `GENERATION/`. Nothing here is visible until the queue's finish names it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from kit.errors import NotFound, NotReady
from services.imagegen.values import Job

T = TypeVar("T")
AWAY = "The picture storage cannot be reached. Try again soon."


class Storage:
    """A place for pictures. Raises NotReady when it is away, NotFound for what is not there."""

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder  # that the store keeps its files in, if it does

    @classmethod
    def at(cls, location: str) -> "Storage":
        """Open a folder or an `s3://`, `gs://`, `az://` or `file://` URL; blocking."""
        url = location if "://" in location else Path(location).resolve().as_uri()
        if url.startswith("file:"):
            folder = Path(url2pathname(urlparse(url).path))
            return cls(from_url(url, mkdir=True, automatic_cleanup=True), folder)
        return cls(from_url(url))

    async def put(self, path: str, content: bytes) -> None:
        """Write a picture; when this returns, a power cut does not take it any more."""
        await _reached(partial(obstore.put_async, self._store, path, content))
        if self._folder:
            await _reached(partial(asyncio.to_thread, _to_disk, self._folder / path))

    async def get(self, path: str) -> bytes:
        """Return a picture's bytes."""
        found = await _reached(partial(obstore.get_async, self._store, path))
        return bytes(await _reached(found.bytes_async))

    async def delete_job(self, tenant: str, job_id: str) -> None:
        """Delete all files of a job; somebody else may be doing the same."""
        listing = obstore.list(self._store, prefix=_folder(tenant, job_id))
        paths = [entry["path"] for entry in await _reached(listing.collect_async)]
        for path in paths:
            with suppress(NotFound):
                await _reached(partial(obstore.delete_async, self._store, path))

    async def check(self) -> None:
        """Raise NotReady when the storage cannot be listed."""
        listing = obstore.list(self._store, prefix="tenant=none/", chunk_size=1)
        await _reached(listing.collect_async)


def _to_disk(file: Path) -> None:
    """Flush a file and its name, which the folder holds."""
    for path in (file, file.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def painted_path(job: Job, number: int) -> str:
    """Return where a worker puts a picture that it painted."""
    return f"{_folder(job.tenant, job.id)}{job.generation}/{number}.png"


def source_path(tenant: str, job_id: str, sha256: str) -> str:
    """Return where a source picture of a blend lies: its name is its content's digest."""
    return f"{_folder(tenant, job_id)}sources/{sha256}.png"


def _folder(tenant: str, job_id: str) -> str:
    # `tenant=` keeps the tenants "." and ".." from being path steps.
    return f"tenant={tenant}/{job_id}/"


async def _reached(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except FileNotFoundError:
        raise NotFound("The picture has expired.") from None
    except (BaseError, OSError) as error:
        raise NotReady(AWAY) from error
