"""Call another service: remaining budget, request id, tenant and token go along."""

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import anyio
import httpcore2  # noqa: F401 - httpx2 would import it at its first use, on the event loop
import httpx2
from pydantic import SecretStr

from kit import deadline, logs
from kit.errors import (
    DeadlineExceeded,
    Overloaded,
    ServiceError,
    Unauthorized,
    UpstreamFailed,
)

CONNECT_SECONDS = 2.0
STREAM_IDLE_SECONDS = 60.0
NAMING_SECONDS = 0.02  # kept of the budget, to say which service was late
DEFAULT_RETRY_MS = 1000.0
ERRORS = {status for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}

Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


class ServiceClient:
    """A pooled HTTP client for one service.

    Each call ends with the current request's deadline. A silent service raises DeadlineExceeded,
    an unreachable one UpstreamFailed, both naming it.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        token: SecretStr | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        # Bodies pass through unread: nothing may be compressed that the caller did not ask for.
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["X-Internal-Token"] = token.get_secret_value()
        # Retrying a refused connection is safe: nothing was sent.
        transport = transport or httpx2.AsyncHTTPTransport(
            verify=base_url.startswith("https:"),  # else certificates are loaded for nothing
            retries=1,
            limits=httpx2.Limits(max_connections=256, max_keepalive_connections=64),
        )
        self._http = httpx2.AsyncClient(base_url=base_url, headers=headers, transport=transport)

    async def __aenter__(self) -> Self:
        """Open the pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send one request and return whatever the service answers, errors included."""
        sent = self._http.build_request(
            method,
            path,
            json=json,
            content=content,
            params=params,
            headers=_outgoing(headers),
            timeout=_timeout(),
        )
        with _translated(self.name):
            return await self._send(sent)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str | httpx2.URL,
        *,
        content: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Headers | None = None,
    ) -> AsyncGenerator[httpx2.Response]:
        """Send one request and yield the answer before its body is read.

        Reading the body inside the block raises the same errors as the call itself.
        """
        sent = self._http.build_request(
            method,
            path,
            content=content,
            params=params,
            headers=_outgoing(headers),
            timeout=_timeout(least_seconds=STREAM_IDLE_SECONDS),
        )
        with _translated(self.name):
            response = await self._send(sent, stream=True)
            try:
                yield response
            finally:
                await response.aclose()

    async def call(
        self, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send JSON, return JSON, and raise the service's problem as our own error."""
        return self.parsed(await self.request(method, path, json=json, headers=headers))

    def parsed(self, response: httpx2.Response) -> Any:
        """Return the JSON of an answer of this service, or raise its problem as our own error."""
        if not response.is_success:
            raise _problem(self.name, response)
        try:
            return response.json()
        except ValueError:
            raise UpstreamFailed(f"The service {self.name} did not answer with JSON.") from None

    async def _send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        """Send within the budget; a service that trickles its headers is late as well."""
        with anyio.move_on_after(_left_seconds()):
            return await self._http.send(request, stream=stream)
        raise DeadlineExceeded(f"The service {self.name} did not answer in time.")


class _translated:  # noqa: N801 - reads as a phrase: with _translated(name)
    """Turn the HTTP library's exceptions into ours, naming the service."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            raise UpstreamFailed(f"The service {self.name} cannot be reached.") from error
        if isinstance(error, httpx2.TimeoutException):
            raise DeadlineExceeded(f"The service {self.name} did not answer in time.") from error
        if isinstance(error, httpx2.TransportError):
            raise UpstreamFailed(f"The service {self.name} broke the connection.") from error


def _outgoing(given: Headers | None) -> httpx2.Headers:
    headers = httpx2.Headers(given)
    headers.update({**logs.current_ids(), **deadline.outgoing_headers()})
    return headers


def _left_seconds() -> float | None:
    """Return the time that a hop may take; None without a deadline or after the first byte."""
    limit = deadline.current()
    if limit is None or math.isinf(limit.at):
        return None
    return max(0.001, limit.remaining_seconds - NAMING_SECONDS)


def _timeout(least_seconds: float = 0.0) -> httpx2.Timeout:
    left = _left_seconds() or STREAM_IDLE_SECONDS
    return httpx2.Timeout(max(left, least_seconds), connect=min(left, CONNECT_SECONDS))


def _problem(name: str, response: httpx2.Response) -> ServiceError:
    """Rebuild the error that a service answered, so that its status and advice survive the hop."""
    try:
        body = response.json()
        detail, code = str(body["detail"]), body.get("code")
    except (ValueError, KeyError, TypeError):
        detail, code = f"The service {name} answered {response.status_code}.", None
    if response.status_code == Overloaded.status:
        return Overloaded(detail, retry_after_seconds=_retry_ms(response) / 1000)
    if response.status_code == 500:
        return UpstreamFailed(f"The service {name} failed.")
    if response.status_code == Unauthorized.status:  # our token is wrong, not the caller's key
        return UpstreamFailed(f"The service {name} refused the token of this one.")
    if response.status_code not in ERRORS:  # a redirect, or a proxy's own invention
        return UpstreamFailed(f"The service {name} answered {response.status_code}.")
    error = ServiceError(detail, code=code)
    error.status = HTTPStatus(response.status_code)
    return error


def _retry_ms(response: httpx2.Response) -> float:
    """Read the advice in milliseconds, or in seconds as servers of others give it."""
    for name, unit_ms in (("retry-after-ms", 1.0), ("retry-after", 1000.0)):
        try:
            stated = float(response.headers[name]) * unit_ms
        except (KeyError, ValueError):
            continue
        if math.isfinite(stated) and stated >= 0:
            return stated
    return DEFAULT_RETRY_MS
