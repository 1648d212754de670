"""The services behind the gateway: which path belongs to whom, and passing requests on unread."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kit.client import ServiceClient
from kit.errors import BadRequest, NotFound, ServiceError
from services.gateway.schemas import ServiceState
from services.gateway.settings import Settings

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
    "imagegen": ("/v1/images", "/v1/blends", "/hf/text-to-image"),
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
    b"x-tenant",
}
SET_BY_SERVER = {b"date", b"server"}


def owner(path: str) -> str | None:
    """Return the service that a path belongs to."""
    for service, prefixes in PATHS.items():
        if any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes):
            return service
    return None


class Upstreams:
    """One pooled client per service, and the language model's if there is one."""

    def __init__(
        self, clients: Mapping[str, ServiceClient], language_model: ServiceClient | None
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
                        name, str(url), token=settings.internal_token, transport=transport
                    )
                )
                for name, url in urls.items()
            }
            language_model = None
            if settings.llm_url is not None:
                language_model = await stack.enter_async_context(
                    ServiceClient(LANGUAGE_MODEL, str(settings.llm_url), transport=transport)
                )
            yield cls(clients, language_model)

    async def states(self) -> list[ServiceState]:
        """Ask every service whether it is ready, side by side."""
        return list(await asyncio.gather(*(_state(client) for client in self)))

    async def ready_names(self) -> set[str]:
        """Return who takes work now; a language model counts when it is set."""
        ready = {state.name for state in await self.states() if state.ready}
        return ready | ({LANGUAGE_MODEL} if self.language_model else set())


async def _state(client: ServiceClient) -> ServiceState:
    reason = f"no answer within {READY_SECONDS:g} s"
    with anyio.move_on_after(READY_SECONDS):
        try:
            response = await client.request("GET", "/readyz")
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

    Neither body is held or changed. A client that hangs up closes the service's connection, and so
    cancels the work there. Raises NotFound, UpstreamFailed and DeadlineExceeded before the first
    byte; an answer that breaks off in the middle breaks the client's connection as well.
    """

    def __init__(self, request: Request, upstream: ServiceClient, tenant: str) -> None:
        self.background = None
        self._request = request
        self._upstream = upstream
        self._tenant = tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the request reads it
        """Stream both ways."""
        async with self._upstream.stream(
            scope["method"],
            _target(scope),
            content=self._request.stream() if _has_body(self._request) else None,
            headers=_outgoing(self._request, self._tenant),
        ) as answer:
            head = [
                (name.lower(), value)
                for name, value in answer.headers.raw
                if name.lower() not in HOP_BY_HOP | SET_BY_SERVER
            ]
            await send(
                {"type": "http.response.start", "status": answer.status_code, "headers": head}
            )
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _target(scope: Scope) -> httpx2.URL:
    """Return path and query as the client wrote them."""
    # A dot segment could climb from a public prefix to /metrics and the like.
    if {".", ".."} & set(scope["path"].split("/")):
        raise NotFound("Not Found")
    written: bytes = scope["raw_path"]
    if scope["query_string"]:
        written += b"?" + scope["query_string"]
    try:
        return httpx2.URL(written.decode("utf-8", "replace"))
    except httpx2.InvalidURL:
        raise BadRequest("The address cannot be read.") from None


def _has_body(request: Request) -> bool:
    stated = request.headers.get("content-length", "0")
    return stated != "0" or "transfer-encoding" in request.headers


def _outgoing(request: Request, tenant: str) -> list[tuple[bytes, bytes]]:
    named = request.headers.get("connection", "").lower().encode("latin-1").split(b",")
    dropped = HOP_BY_HOP | OURS_TO_SET | {name.strip() for name in named}
    kept = [(name, value) for name, value in request.headers.raw if name not in dropped]
    # A page must know its outer address; a proxy before this one knows better.
    if "x-forwarded-host" not in request.headers and "host" in request.headers:
        kept.append((b"x-forwarded-host", request.headers["host"].encode("latin-1")))
    if "x-forwarded-proto" not in request.headers:
        kept.append((b"x-forwarded-proto", request.url.scheme.encode("ascii")))
    return [*kept, (b"x-tenant", tenant.encode("ascii"))]
