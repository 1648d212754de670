"""The gate before every route: whose key, what it opens, how much of it is left."""

import asyncio
import re
from collections.abc import Iterable, Mapping

import structlog
from redis import RedisError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import Forbidden, NotReady, ServiceError, Unauthorized, problem_response
from services.gateway.keys import DEFAULT_TENANT, Key, KeyStore, WrongKey, digest_of, parsed
from services.gateway.limits import Allowances, headers_of
from services.gateway.settings import Settings
from services.gateway.upstreams import PAGES, owner

OPEN_PATHS = {"/livez", "/readyz", "/metrics", "/info", "/openapi.json", "/docs", "/redoc"}
OPEN_PATHS |= {"/docs/oauth2-redirect"}
OWN_SCOPES = {
    "/v1/route": "assist",
    "/v1/assist": "assist",
    "/v1/intents": "assist",
    "/v1/chat/completions": "assist",
    "/hf/text-to-image": "imagegen",
}
READS = {"GET", "HEAD", "OPTIONS"}
ASKS = ("/search", "/ask")
COMPUTED = ("/v1/embeddings", "/embed", "/rerank", "/similarity", "/hf/")  # nothing is kept of it
REFRESH_SECONDS = 2.0
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}

log = structlog.get_logger(__name__)

NOBODY = Key(digest="0" * 64, tenant=DEFAULT_TENANT)
"""Whoever calls a gateway that needs no keys."""


class Keys:
    """Knows what every key may do, and no key itself.

    The store is read again and again; when it cannot be, the keys last read stay valid.
    """

    def __init__(self, fixed: Iterable[Key], store: KeyStore | None, *, are_needed: bool) -> None:
        self.are_needed = are_needed
        self._fixed = {key.digest: key for key in fixed}
        self._store = store
        self._stored: Mapping[str, Key] | None = {} if store is None else None

    @classmethod
    def from_settings(cls, settings: Settings, store: KeyStore | None) -> "Keys":
        """Read the keys of `GATEWAY_KEYS`; raises WrongKey."""
        text = settings.keys.get_secret_value() if settings.keys else ""
        fixed = [key for entry in re.split(r"[,\n]", text) if (key := parsed(entry)) is not None]
        return cls(fixed, store, are_needed=settings.needs_key)

    def refresh(self) -> None:
        """Read the store once; blocking. Raises OSError, RedisError or WrongKey."""
        if self._store is not None:
            self._stored = {key.digest: key for key in self._store.load()}

    async def keep_fresh(self) -> None:
        """Read the store again until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except (OSError, RedisError, WrongKey) as error:
                log.warning("keys_not_read", reason=str(error))
            await asyncio.sleep(REFRESH_SECONDS)

    def find(self, secret: str | None) -> Key:
        """Return what is known of a key; raises Unauthorized for an unknown or missing one."""
        if not self.are_needed:
            return NOBODY
        challenge = {"WWW-Authenticate": "Bearer"}
        if not secret:
            wanted = "A key is needed: `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            raise Unauthorized(wanted, headers=challenge)
        digest = digest_of(secret)
        key = self._fixed.get(digest) or (self._stored or {}).get(digest)
        if key is None and self._stored is None:
            raise NotReady("The keys cannot be read at the moment.")
        if key is None or key.has_expired:
            said = "Unknown key." if key is None else "This key's time is over."
            raise Unauthorized(said, headers=challenge)
        return key


def scope_needed(method: str, path: str) -> str | None:
    """Return what a request needs to be open; None where any key will do."""
    own = next((scope for prefix, scope in OWN_SCOPES.items() if _is_below(path, prefix)), None)
    if own is not None:
        return own
    service = owner(path)
    if service == "rag" and (method in READS or path.endswith(ASKS) or path.startswith(COMPUTED)):
        return "rag:read"
    return service


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def check_scope(key: Key, method: str, path: str) -> None:
    """Raise Forbidden when the key does not open this path."""
    needed = scope_needed(method, path)
    if not key.scopes or needed is None or needed in key.scopes:
        return
    if needed == "rag:read" and "rag" in key.scopes:
        return
    raise Forbidden(f"This key does not open this; it would need the scope `{needed}`.")


class Gate:
    """Lets requests in by their key, counts them, and signs every answer with the safe headers."""

    def __init__(self, app: ASGIApp, *, keys: Keys) -> None:
        self._app = app
        self._keys = keys
        self._safe = [
            (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = list(self._safe)

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        if scope["path"] not in OPEN_PATHS and owner(scope["path"]) not in PAGES:
            try:
                more += await self._let_in(scope)
            except ServiceError as error:
                await problem_response(scope, error)(scope, receive, signed)
                return
        await self._app(scope, receive, signed)

    async def _let_in(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Note whose request it is, and return the headers that tell what is left."""
        key = self._keys.find(_secret(scope["headers"]))
        scope["state"]["tenant"] = key.tenant
        check_scope(key, scope["method"], scope["path"])
        allowances: Allowances | None = scope["app"].state.resources.get("allowances")
        if allowances is None:  # still starting; the route says so
            return []
        left = headers_of(await allowances.take(key))
        return [(name.lower().encode(), value.encode()) for name, value in left.items()]


def _secret(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the key that was sent, as `Authorization` or `X-API-Key`."""
    found: str | None = None
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip().decode("latin-1")
        if name == b"x-api-key":
            found = value.decode("latin-1")
    return found
