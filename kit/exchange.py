"""What surrounds every request: its id, its budget, its limits, its count, and its end when the client leaves."""

import asyncio
import math
import secrets
import time
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import deadline, logs, tracing
from kit.errors import (
    DeadlineExceeded,
    ServiceError,
    TooLarge,
    Unauthorized,
    problem_response,
)
from kit.health import Health
from kit.metrics import Metrics

OPEN_PATHS = ("/livez", "/readyz", "/metrics")  # probes and scrapers carry no token
WATCH_AFTER_SECONDS = 0.005  # most answers are out by then, and need nobody to watch the client
EMPTY: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}

log = structlog.get_logger(__name__)


class ExchangeMiddleware:
    """Serve each request under its id and inside its budget, and count it.

    `X-Request-ID` is taken or made, kept for the logs and later hops, and returned. The budget is
    the caller's or `default_seconds`; it ends with the first byte of the answer, so a stream may run
    longer; without an answer until then, 504. A client that hangs up before the answer's end cancels
    whatever the route awaits, once the body has been read. One class, because each layer costs every
    request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        health: Health,
        default_seconds: float,
        limit_bytes: int,
        token: str | None = None,
        is_traced: bool = False,
        logs_requests: bool = False,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.health = health
        self.default_seconds = default_seconds
        self.limit_bytes = limit_bytes
        self.token = token.encode() if token is not None else None
        self.is_traced = is_traced
        self.logs_requests = logs_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        ids, limit = exchange.ids, exchange.limit
        named, limited = logs.enter(ids), deadline.enter(limit)
        try:
            await exchange.serve()
        except Exception:
            exchange.status = exchange.status or 500  # a bug: its answer is written further out
            raise
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.monotonic() - exchange.started
            self.metrics.answered(route, scope["method"], exchange.status, seconds)
            if self.logs_requests and scope["path"] not in OPEN_PATHS:
                _log_request(scope["method"], route, exchange.status, seconds)
            deadline.leave(limited)
            logs.leave(named)


def _log_request(method: str, route: str, status: int | None, seconds: float) -> None:
    """Write what was asked for and how it went, under the request's ids; nothing of its content."""
    ms = round(seconds * 1000, 1)
    log.info("request", method=method, route=route, status=status, ms=ms)


class _Exchange:
    """One request on its way through; its bound methods are what the application gets."""

    __slots__ = (
        "_is_bodiless",
        "_is_slow",
        "_received",
        "_rules",
        "_scope",
        "_server_receive",
        "_server_send",
        "_size",
        "_task",
        "_timer",
        "_token",
        "_unread",
        "_watcher",
        "ids",
        "is_complete",
        "is_gone",
        "is_late",
        "limit",
        "seconds",
        "started",
        "status",
    )

    def __init__(
        self, rules: ExchangeMiddleware, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._rules = rules
        self._scope = scope
        self._server_receive, self._server_send = receive, send
        self.started = time.monotonic()
        state = scope.setdefault("state", {})
        self.ids = logs.ids_of(headers, state)
        if rules.is_traced:
            onward = tracing.continued(self.ids.traceparent)
            self.ids = self.ids._replace(traceparent=onward)
        self.seconds = deadline.budget_seconds(headers, rules.default_seconds)
        self.limit = deadline.Deadline(self.started + self.seconds)
        state["request_id"] = self.ids.request_id
        self._token = headers.get(b"x-internal-token", b"")
        self._size = _stated_size(headers)
        self._unread = self._size != 0  # something is left of the body
        self._received = 0
        self._is_slow = False
        self._watcher: asyncio.Task[None] | None = None
        self.status: int | None = None
        self.is_complete = self.is_gone = self.is_late = False

    async def serve(self) -> None:
        """Run the application until it answers, its time is up or the client is gone."""
        if (refused := self._refused()) is not None:
            await self._answer(refused)
            return
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        first_look = min(WATCH_AFTER_SECONDS, self.seconds)
        self._timer = asyncio.get_running_loop().call_later(first_look, self._look)
        try:
            await self._rules.app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._was_ended():
                raise
        finally:
            self._timer.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
        if self._was_ended() and task.uncancel():
            raise asyncio.CancelledError  # someone else ended this task as well
        if self.is_late and self.status is None:
            late = f"No answer within the {self.seconds:.3f} s that the request gave."
            await self._answer(DeadlineExceeded(late))

    async def receive(self) -> Message:
        """Hand the application its body, and afterwards the news that the client is gone."""
        if self._unread:
            return await self._next_part()
        if self._size == 0:
            self._size = -1
            return EMPTY
        await asyncio.shield(self._watched())
        return GONE

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, under the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.limit.at = math.inf  # what the stream still calls has no limit either
            message["headers"] = self._signed(message.get("headers", ()))
            if self._rules.is_traced:
                tracing.describe(self.ids)
        elif message["type"] == "http.response.body":
            # Set before sending: the server reports a finished exchange as a disconnect as well.
            self.is_complete = not message.get("more_body", False)
        await self._server_send(message)

    def _refused(self) -> ServiceError | None:
        limit, token = self._rules.limit_bytes, self._rules.token
        if (
            token is not None
            and self._scope["path"] not in OPEN_PATHS
            and not secrets.compare_digest(self._token, token)
        ):
            return Unauthorized("X-Internal-Token is missing or wrong.")
        return TooLarge(self._limit_detail()) if self._size > limit else None

    def _limit_detail(self) -> str:
        return f"The body is larger than the limit of {self._rules.limit_bytes} bytes."

    async def _answer(self, error: ServiceError) -> None:
        await problem_response(self._scope, error)(self._scope, self.receive, self.send)

    async def _next_part(self) -> Message:
        message = await self._server_receive()
        if message["type"] != "http.request":
            self._hang_up()
            await asyncio.sleep(0)  # ends the route here, before it answers nobody
            return message
        if self._size < 0:  # not stated: counted
            self._received += len(message.get("body", b""))
            if self._received > self._rules.limit_bytes:
                # FastAPI lets only its own exception type through while it reads a body.
                raise HTTPException(TooLarge.status, self._limit_detail())
        if not message.get("more_body", False):
            self._unread = False
            if self._size == 0:
                self._size = -1
            if self._is_slow:
                self._watched()
        return message

    def _signed(self, headers: Any) -> list[tuple[bytes, bytes]]:
        signed = [header for header in headers if header[0] != b"x-request-id"]
        signed.append((b"x-request-id", self.ids.request_id.encode()))
        if self._rules.health.is_draining:
            signed.append((b"connection", b"close"))  # the next request shall go elsewhere
        return signed

    def _look(self) -> None:
        """Find the request still running after a moment: watch its client, and its time."""
        self._is_slow = True
        if not self._unread:
            self._watched()
        if self.status is None:
            left = max(0.0, self.limit.at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left, self._end_late)

    def _watched(self) -> asyncio.Task[None]:
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())
        return self._watcher

    async def _watch(self) -> None:
        while (await self._server_receive())["type"] != "http.disconnect":
            pass  # the body of a request that has none
        self._hang_up()

    def _hang_up(self) -> None:
        if not self.is_complete and not self._was_ended():
            self.is_gone = True
            self._rules.metrics.abandoned.inc()
            log.info("client_hung_up")
            self._task.cancel()

    def _end_late(self) -> None:
        if self.status is None and not self._was_ended():
            self.is_late = True
            self._task.cancel()

    def _was_ended(self) -> bool:
        return self.is_late or self.is_gone


def _stated_size(headers: dict[bytes, bytes]) -> int:
    """Return the size of the body in bytes, -1 where it is not stated."""
    if b"transfer-encoding" in headers:
        return -1
    stated = headers.get(b"content-length", b"0")
    return int(stated) if stated.isdigit() else -1
