"""The services behind the gateway: which path belongs to whom, and passing requests on unread."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kit.client import ServiceClient
from kit.errors import BadRequest, NotFound, ServiceError
from services.gateway.language_model import LanguageModel
from services.gateway.schemas import ServiceState
from services.gateway.settings import Settings
from services.gateway.transport import AiohttpTransport

PATHS = {
    "classifier": (
        "/v1/classify",
        "/v1/zero-shot",
        "/hf/text-classification",
        "/hf/zero-shot-classification",
        "/predict",
        "/v2",
    ),
    "qa": ("/v1/answer", "/hf/question-answering"),
    "imagegen": ("/v1/images", "/v1/blends"),
    "rag": (
        "/v1/collections",
        "/v1/conversations",
        "/v1/embeddings",
        "/embed",
        "/rerank",
        "/similarity",
        "/hf/feature-extraction",
        "/hf/sentence-similarity",
    ),
    "console": ("/console",),
}
"""Path prefixes by service: a path belongs to a prefix that it equals or continues after a `/`."""

PAGES = ("console",)
"""For browsers, which open a page without a key; what the page then does needs the visitor's own."""

READY_SECONDS = 1.0
LANGUAGE_MODEL = "llm"

HOP_BY_HOP = {  # RFC 9110, 7.6.1: these speak of one connection, not of the message
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
OURS_TO_SET = {  # the key stays here; the rest is made anew for the next hop
    b"authorization",
    b"expect",
    b"host",
    b"traceparent",
    b"x-internal-token",
    b"x-request-id",
    b"x-request-timeout-ms",
    b"x-stainless-read-timeout",
    b"x-api-key",
    b"x-tenant",
}
NOT_FOR_SERVICES = HOP_BY_HOP | OURS_TO_SET
STAYS_HERE = HOP_BY_HOP | {b"date", b"server"}
PURE = (
    "/v1/classify",
    "/v1/zero-shot",
    "/v1/answer",
    "/v1/embeddings",
    "/predict",
    "/embed",
    "/rerank",
    "/similarity",
    "/hf",
)
"""Paths that only compute: asking twice changes nothing."""
SMALL_BYTES = 64 * 1024


BY_PREFIX = {prefix: service for service, prefixes in PATHS.items() for prefix in prefixes}
DEEPEST = max(prefix.count("/") for prefix in BY_PREFIX)


def owned(path: str) -> tuple[str, str]:
    """Return the prefix that a path belongs to and its service; two empty texts for none."""
    parts = path.split("/", DEEPEST + 1)
    for depth in range(DEEPEST, 0, -1):
        prefix = "/".join(parts[: depth + 1])
        if len(parts) > depth and prefix in BY_PREFIX:
            return prefix, BY_PREFIX[prefix]
    return "", ""


def owner(path: str) -> str | None:
    """Return the service that a path belongs to."""
    return owned(path)[1] or None


class Upstreams:
    """One pooled client per service, and the language model's if there is one."""

    def __init__(
        self, clients: Mapping[str, ServiceClient], language_model: LanguageModel | None
    ) -> None:
        self._clients = clients
        self.language_model = language_model

    def __getitem__(self, service: str) -> ServiceClient:
        """Return a service's client."""
        return self._clients[service]

    def __iter__(self) -> Iterator[ServiceClient]:
        """Go through the clients of the services that take work: no pages, no language model."""
        return (client for name, client in self._clients.items() if name not in PAGES)

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, settings: Settings, transport: httpx2.AsyncBaseTransport | None
    ) -> "AsyncGenerator[Upstreams]":
        """Open the clients; nothing is called yet, so a service may start later."""
        urls = {
            "classifier": settings.classifier_url,
            "qa": settings.qa_url,
            "imagegen": settings.imagegen_url,
            "rag": settings.rag_url,
            "console": settings.console_url,
        }
        async with AsyncExitStack() as stack:
            clients = {
                name: await stack.enter_async_context(
                    ServiceClient(
                        name,
                        str(url),
                        token=settings.internal_token,
                        transport=transport or AiohttpTransport(verify=True),
                        hedge=settings.hedge,
                    )
                )
                for name, url in urls.items()
            }
            language_model = None
            if settings.llm_url is not None:
                writer = ServiceClient(
                    LANGUAGE_MODEL,
                    str(settings.llm_url),
                    transport=transport or AiohttpTransport(verify=True),
                )
                await stack.enter_async_context(writer)
                language_model = LanguageModel(writer, settings)
            yield cls(clients, language_model)

    async def states(self) -> list[ServiceState]:
        """Ask every service whether it is ready, side by side."""
        return list(await asyncio.gather(*(_state(client) for client in self)))

    async def ready_names(self) -> set[str]:
        """Return who takes work now; a language model counts when it is set."""
        ready = {state.name for state in await self.states() if state.ready}
        return ready | ({LANGUAGE_MODEL} if self.language_model else set())


async def _state(client: ServiceClient) -> ServiceState:
    try:
        response = await client.look("/readyz", READY_SECONDS)
        reason = "" if response.is_success else _reason(response)
    except ServiceError as error:
        reason = error.detail
    paths = list(PATHS[client.name])
    return ServiceState(name=client.name, ready=not reason, reason=reason, paths=paths)


def _reason(response: httpx2.Response) -> str:
    try:
        failures = dict(response.json()["failures"])
    except (ValueError, KeyError, TypeError):
        return f"answers {response.status_code}"
    return "; ".join(f"{name}: {reason}" for name, reason in failures.items())


class Forwarded(Response):
    """A request handed to a service while it is still arriving, and the answer likewise.

    Neither body is changed, and only a small one is held. A client that hangs up closes the service's
    connection, and so cancels the work there. Raises NotFound, UpstreamFailed, DeadlineExceeded and
    NotReady before the first byte; an answer that breaks off in the middle breaks the client's
    connection as well.
    """

    def __init__(
        self,
        request: Request,
        upstream: ServiceClient,
        headers: Mapping[str, str],
        *,
        target: bytes | None = None,
        body: bytes | None = None,
    ) -> None:
        self.background = None
        self._request = request
        self._upstream = upstream
        self._more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._target = target
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the request reads it
        """Stream both ways."""
        try:
            forwarding = self._upstream.forward(
                scope["method"],
                self._target or _target(scope),
                content=self._body if self._body is not None else await _body(self._request),
                headers=[*_outgoing(scope["headers"]), *self._more],
                is_repeatable=scope["method"] == "POST" and _is_pure(scope["path"]),
            )
            async with forwarding as answer:
                head = [
                    (name.lower(), value)
                    for name, value in answer.headers.raw
                    if name.lower() not in STAYS_HERE
                ]
                status = answer.status_code
                await send({"type": "http.response.start", "status": status, "headers": head})
                async for chunk in answer.stream:  # type: ignore[union-attr] # httpx2 types both kinds
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except httpx2.InvalidURL:
            raise BadRequest("The address cannot be read.") from None
        await send({"type": "http.response.body", "body": b""})


def _target(scope: Scope) -> bytes:
    """Return path and query as the client wrote them."""
    path: str = scope["path"]
    # A dot segment could climb from a public prefix to /metrics and the like.
    if "/." in path and {".", ".."} & set(path.split("/")):
        raise NotFound("Not Found")
    written: bytes = scope["raw_path"]
    return written + b"?" + scope["query_string"] if scope["query_string"] else written


def _is_pure(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PURE)


async def _body(request: Request) -> AsyncIterator[bytes] | bytes | None:
    """Return the body: what is small whole, so that it may be sent again, the rest as it arrives."""
    stated = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers:
        return request.stream()
    if stated == "0":
        return None
    is_small = stated.isdigit() and int(stated) <= SMALL_BYTES
    return await request.body() if is_small else request.stream()


def _outgoing(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the caller's headers that are for the service."""
    named = {
        name.strip().lower()
        for header, value in headers
        if header == b"connection"
        for name in value.split(b",")
    }
    dropped = NOT_FOR_SERVICES | named if named - HOP_BY_HOP else NOT_FOR_SERVICES
    return [(name, value) for name, value in headers if name not in dropped]
