"""Call another service: remaining budget, request id, tenant and token go along."""

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import httpcore2  # noqa: F401 - httpx2 would import it at its first use, on the event loop
import httpx2
from pydantic import SecretStr

from kit import deadline, logs
from kit.errors import DeadlineExceeded, ServiceError, UpstreamFailed
from kit.failures import Late, are_we_slow, is_its_fault, problem_of_answer, translated
from kit.resilience import Breaker, Latencies, RetryBudget, abandon, first

CONNECT_SECONDS = 2.0
STREAM_IDLE_SECONDS = 60.0
NAMING_SECONDS = 0.02  # kept of the budget, to say which service was late
PATIENT_SECONDS = 1.0  # a caller who gives less says nothing about the service by going away
PROBE_SECONDS = 1.0
RETRY_AFTER_SECONDS = 0.05  # at most, so that callers who failed together do not return together
IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}

Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


class ServiceClient:
    """A pooled HTTP client for one service.

    Each call ends with the current request's deadline. A silent service raises DeadlineExceeded,
    an unreachable one UpstreamFailed, one that failed several times in a row NotReady; all name it.
    A call that surely did nothing, or may be done twice, is repeated once if the budget of one in ten
    allows. With `hedge`, a repeatable cheap call that is slower than 19 of 20 is sent a second time.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        token: SecretStr | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        hedge: bool = False,
    ) -> None:
        self.name = name
        # Bodies pass through unread: nothing may be compressed that the caller did not ask for.
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["X-Internal-Token"] = token.get_secret_value()
        transport = transport or httpx2.AsyncHTTPTransport(
            verify=base_url.startswith("https:"),  # else certificates are loaded for nothing
            limits=httpx2.Limits(max_connections=1024, max_keepalive_connections=64),
        )
        self._http = httpx2.AsyncClient(base_url=base_url, headers=headers, transport=transport)
        self._transport = transport
        self._base_url = self._http.base_url
        self._base_headers = [(name.lower().encode(), headers[name].encode()) for name in headers]
        self._hedges = hedge
        self.breaker = Breaker(name, self._answers)
        self._budget = RetryBudget()
        self._latencies = Latencies()

    async def __aenter__(self) -> Self:
        """Open the pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self.breaker.close()
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
        is_repeatable: bool | None = None,
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
        async with self._sent(sent, is_repeatable) as response:
            await response.aread()
            return response

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str | httpx2.URL,
        *,
        json: Any = None,
        content: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Headers | None = None,
        is_repeatable: bool | None = None,
    ) -> AsyncGenerator[httpx2.Response]:
        """Send one request and yield the answer before its body is read.

        Reading the body inside the block raises the same errors as the call itself. `is_repeatable`
        says that the request may be done twice, where its method does not.
        """
        sent = self._http.build_request(
            method,
            path,
            json=json,
            content=content,
            params=params,
            headers=_outgoing(headers),
            timeout=_timeout(least_seconds=STREAM_IDLE_SECONDS),
        )
        async with self._sent(sent, is_repeatable) as response:
            yield response

    @asynccontextmanager
    async def forward(
        self,
        method: str,
        target: bytes,
        *,
        content: Any,
        headers: Sequence[tuple[bytes, bytes]],
        is_repeatable: bool = False,
    ) -> AsyncGenerator[httpx2.Response]:
        """Pass a request on as it came: path, query and headers are sent as they are written.

        Faster than `stream`, which merges and encodes. Raises InvalidURL for a target that no
        address can have.
        """
        own = [(name.lower().encode(), value.encode()) for name, value in _hop_headers().items()]
        given = {name for name, _ in headers}
        base = [header for header in self._base_headers if header[0] not in given]
        request = httpx2.Request(
            method,
            self._base_url.copy_with(raw_path=target),
            headers=[*base, *headers, *own],
            content=content,
            extensions={"timeout": _timeout(least_seconds=STREAM_IDLE_SECONDS).as_dict()},
        )
        async with self._sent(request, is_repeatable or None) as response:
            yield response

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool | None = None,
    ) -> Any:
        """Send JSON, return JSON, and raise the service's problem as our own error."""
        return self.parsed(
            await self.request(
                method, path, json=json, headers=headers, is_repeatable=is_repeatable
            )
        )

    def parsed(self, response: httpx2.Response) -> Any:
        """Return the JSON of an answer of this service, or raise its problem as our own error."""
        if not response.is_success:
            raise problem_of_answer(self.name, response)
        try:
            return response.json()
        except ValueError:
            raise UpstreamFailed(f"The service {self.name} did not answer with JSON.") from None

    async def look(self, path: str, seconds: float) -> httpx2.Response:
        """Ask how the service is, past the breaker and without telling it anything."""
        request = self._http.build_request("GET", path, headers=_outgoing(None), timeout=seconds)
        with translated(self.name):
            with anyio.move_on_after(seconds):
                response = await self._handled(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                return response
            raise DeadlineExceeded(f"The service {self.name} did not answer within {seconds:g} s.")

    async def _answers(self) -> bool:
        try:
            await self.look("/livez", PROBE_SECONDS)
        except ServiceError:
            return False
        return True  # any answer will do: not every server knows this path

    @asynccontextmanager
    async def _sent(
        self, request: httpx2.Request, is_repeatable: bool | None
    ) -> AsyncGenerator[httpx2.Response]:
        """Send past the breaker and within the budgets; close the answer at the end."""
        is_trial = self.breaker.enter()
        limit = deadline.current()
        is_patient = limit is None or limit.remaining_seconds >= PATIENT_SECONDS
        try:
            with translated(self.name):
                response = await self._answered(request, is_repeatable)
                try:
                    self.breaker.heard()
                    yield response
                    self.breaker.succeeded()
                finally:
                    await response.aclose()
        except (UpstreamFailed, DeadlineExceeded) as error:
            # One whose answer breaks off in the middle fails as well; what the block raises does not.
            if is_its_fault(error, is_patient=is_patient) and not await are_we_slow():
                self.breaker.failed()
            raise
        finally:
            if is_trial:
                self.breaker.left()

    async def _answered(
        self, request: httpx2.Request, is_repeatable: bool | None
    ) -> httpx2.Response:
        """Return the answer's head; a service that trickles it is late as well."""
        has_its_body = isinstance(request.stream, httpx2.ByteStream)
        may_repeat = has_its_body and (
            request.method in IDEMPOTENT if is_repeatable is None else is_repeatable
        )
        self._budget.called()
        with anyio.move_on_after(_left_seconds()):
            try:
                if self._hedges and may_repeat and is_repeatable:
                    return await self._hedged(request)
                return await self._handled(request)
            except httpx2.TransportError as error:
                nothing_was_sent = isinstance(error, httpx2.ConnectError)
                is_slow = isinstance(error, httpx2.TimeoutException)
                if is_slow or not has_its_body or not (may_repeat or nothing_was_sent):
                    raise
                if not self._budget.take():
                    raise
            await asyncio.sleep(random.uniform(0, RETRY_AFTER_SECONDS))  # noqa: S311 - no secret
            return await self._handled(request)
        raise Late(f"The service {self.name} did not answer in time.")

    async def _hedged(self, request: httpx2.Request) -> httpx2.Response:
        """Ask once more when the answer is slower than usual; the first answer is taken."""
        started = time.monotonic()
        tries = {asyncio.create_task(self._handled(request))}
        slow_seconds = self._latencies.slow_seconds
        try:
            if not math.isinf(slow_seconds):
                done, _ = await asyncio.wait(tries, timeout=slow_seconds)
                if not done and self._budget.take():
                    tries.add(asyncio.create_task(self._handled(request)))
            response = await first(tries)
        finally:
            await abandon(tries)
        self._latencies.add(time.monotonic() - started)
        return response

    async def _handled(self, request: httpx2.Request) -> httpx2.Response:
        # Past the client's own `send`: it would keep one caller's cookies and send them for the next.
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response


def _outgoing(given: Headers | None) -> httpx2.Headers:
    headers = httpx2.Headers(given)
    headers.update(_hop_headers())
    return headers


def _hop_headers() -> dict[str, str]:
    return {**logs.current_ids(), **deadline.outgoing_headers()}


def _left_seconds() -> float | None:
    """Return the time that a hop may take; None without a deadline or after the first byte."""
    limit = deadline.current()
    if limit is None or math.isinf(limit.at):
        return None
    return max(0.001, limit.remaining_seconds - NAMING_SECONDS)


def _timeout(least_seconds: float = 0.0) -> httpx2.Timeout:
    left = _left_seconds() or STREAM_IDLE_SECONDS
    return httpx2.Timeout(max(left, least_seconds), connect=min(left, CONNECT_SECONDS))
