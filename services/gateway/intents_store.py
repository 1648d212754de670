"""Where tenants' own intents are kept: a file per tenant for one gateway, Redis for several."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import redis.asyncio as redis
import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError

from kit.errors import NotReady
from services.gateway.intents_schemas import OwnIntent

KEY = "switchboard:intents:"

log = structlog.get_logger(__name__)


class IntentsStore(Protocol):
    """Keeps definitions by tenant and name; every change is whole or not there."""

    async def read(self, tenant: str) -> dict[str, OwnIntent]:
        """Return a tenant's intents by name, in their order."""
        ...

    async def put(self, tenant: str, intents: Sequence[OwnIntent]) -> None:
        """Add or replace by name."""
        ...

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one, and say whether it was there."""
        ...


class FileStore:
    """One JSON file per tenant, written beside and put in place; for a single gateway."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = asyncio.Lock()
        self._kept: dict[str, dict[str, OwnIntent]] = {}

    async def read(self, tenant: str) -> dict[str, OwnIntent]:
        """Return a tenant's intents; the file is read once."""
        if tenant not in self._kept:
            self._kept[tenant] = await asyncio.to_thread(self._load, tenant)
        return dict(self._kept[tenant])

    async def put(self, tenant: str, intents: Sequence[OwnIntent]) -> None:
        """Add or replace; raises NotReady when the folder cannot be written."""
        async with self._lock:
            after = await self.read(tenant) | {intent.name: intent for intent in intents}
            await self._keep(tenant, after)

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one; raises NotReady when the folder cannot be written."""
        async with self._lock:
            after = await self.read(tenant)
            if after.pop(name, None) is None:
                return False
            await self._keep(tenant, after)
            return True

    async def _keep(self, tenant: str, after: dict[str, OwnIntent]) -> None:
        try:
            await asyncio.to_thread(self._save, tenant, after)
        except OSError as error:
            log.warning("intents_not_kept", error=str(error))
            raise NotReady("Intents cannot be kept: GATEWAY_DATA is not writable.") from None
        self._kept[tenant] = after

    def _path(self, tenant: str) -> Path:
        return self._folder / "intents" / f"{tenant}.json"

    def _load(self, tenant: str) -> dict[str, OwnIntent]:
        path = self._path(tenant)
        if not path.exists():
            return {}
        lines = json.loads(path.read_text(encoding="utf-8"))
        return _by_name([json.dumps(line) for line in lines])

    def _save(self, tenant: str, intents: dict[str, OwnIntent]) -> None:
        path = self._path(tenant)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([intent.model_dump(mode="json") for intent in intents.values()])
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, delete=False
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)


class RedisStore:
    """One hash per tenant; for several gateways side by side."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> "AsyncGenerator[RedisStore]":
        """Open the pool; nothing is called yet."""
        client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=2.0)
        try:
            yield cls(client)
        finally:
            await client.aclose()

    async def read(self, tenant: str) -> dict[str, OwnIntent]:
        """Return a tenant's intents; raises NotReady when Redis is away."""
        with _told():
            kept = await self._client.hgetall(KEY + tenant)
        return _by_name([str(kept[name]) for name in sorted(kept)])

    async def put(self, tenant: str, intents: Sequence[OwnIntent]) -> None:
        """Add or replace, all at once; raises NotReady when Redis is away."""
        mapping: dict[Any, Any] = {intent.name: intent.model_dump_json() for intent in intents}
        with _told():
            await self._client.hset(KEY + tenant, mapping=mapping)

    async def delete(self, tenant: str, name: str) -> bool:
        """Forget one; raises NotReady when Redis is away."""
        with _told():
            return bool(await self._client.hdel(KEY + tenant, name))


class _told:  # noqa: N801 - reads as a sentence where it is used
    """Say in the client's words that the intents cannot be reached."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, RedisError | OSError):
            log.warning("intents_away", error=str(error))
            raise NotReady("The tenants' own intents cannot be reached now.") from None


def _by_name(texts: Sequence[str]) -> dict[str, OwnIntent]:
    """Read definitions; one that an older version wrote and this one refuses is left out."""
    found: dict[str, OwnIntent] = {}
    for text in texts:
        try:
            intent = OwnIntent.model_validate_json(text)
        except ValidationError as error:
            log.warning("intent_unreadable", error=str(error))
            continue
        found[intent.name] = intent
    return found
