"""Call another service: remaining budget, request id, tenant and token go along."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2
from pydantic import SecretStr

from kit import deadline, logs
from kit.errors import DeadlineExceeded, Overloaded, ServiceError, UpstreamFailed

CONNECT_SECONDS = 2.0
STREAM_IDLE_SECONDS = 60.0


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
        headers = {"X-Internal-Token": token.get_secret_value()} if token else {}
        # Retrying a refused connection is safe: nothing was sent.
        transport = transport or httpx2.AsyncHTTPTransport(
            retries=1, limits=httpx2.Limits(max_connections=256, max_keepalive_connections=64)
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
            return await self._http.send(sent)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        content: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[httpx2.Response]:
        """Send one request and yield the answer before its body is read."""
        sent = self._http.build_request(
            method,
            path,
            content=content,
            params=params,
            headers=_outgoing(headers),
            timeout=_timeout(read_seconds=STREAM_IDLE_SECONDS),
        )
        with _translated(self.name):
            response = await self._http.send(sent, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def call(
        self, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send JSON, return JSON, and raise the service's problem as our own error."""
        response = await self.request(method, path, json=json, headers=headers)
        if response.is_success:
            return response.json()
        raise _problem(self.name, response)


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


def _outgoing(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {**logs.current_ids(), **deadline.outgoing_headers(), **(headers or {})}


def _timeout(read_seconds: float | None = None) -> httpx2.Timeout:
    limit = deadline.current()
    left = max(0.001, limit.remaining_seconds) if limit else None
    return httpx2.Timeout(
        read_seconds or left, connect=min(left or CONNECT_SECONDS, CONNECT_SECONDS)
    )


def _problem(name: str, response: httpx2.Response) -> ServiceError:
    """Rebuild the error that a service answered, so that its status and advice survive the hop."""
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The service {name} answered {response.status_code}."
    if response.status_code == Overloaded.status:
        wait = float(response.headers.get("retry-after-ms", 1000)) / 1000
        return Overloaded(detail, retry_after_seconds=wait)
    if response.status_code == 500:
        return UpstreamFailed(f"The service {name} failed.")
    error = ServiceError(detail)
    error.status = type(error.status)(response.status_code)
    return error
