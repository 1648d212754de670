"""One time budget across all hops, and cancellation when the client hangs up."""

import math
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

import anyio
import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import DeadlineExceeded, problem_response
from kit.metrics import Metrics

HEADER = "X-Request-Timeout-Ms"
log = structlog.get_logger(__name__)


@dataclass
class Deadline:
    """A moment on this machine's monotonic clock, in seconds; infinite once an answer has begun."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining_seconds(self) -> float:
        """Return what is left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    def check(self) -> None:
        """Raise DeadlineExceeded if nothing is left."""
        if self.remaining_seconds <= 0:
            raise DeadlineExceeded("The request's time budget ran out.")


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current() -> Deadline | None:
    """Return the deadline of the request being served, if there is one."""
    return _current.get()


def outgoing_headers() -> dict[str, str]:
    """Return the header that hands the rest of the budget to the next hop."""
    deadline = current()
    if deadline is None or math.isinf(deadline.at):
        return {}
    # Never 0: that states no budget, and the next hop would take its own, long one.
    return {HEADER: str(max(1, int(deadline.remaining_seconds * 1000)))}


def _budget_seconds(headers: Headers, default_seconds: float) -> float:
    """Read the caller's budget; OpenAI's SDK states its own in `x-stainless-read-timeout`."""
    stated = (
        (headers.get(HEADER), 0.001),
        (headers.get("x-stainless-read-timeout"), 1.0),
    )
    for text, unit_seconds in stated:
        try:
            seconds = float(text or "nan") * unit_seconds
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds > 0:
            return min(seconds, 24 * 3600.0)
    return default_seconds


class DeadlineMiddleware:
    """Give each request its budget; answer 504 when it runs out; stop when the client is gone.

    The budget ends with the first byte of the answer, so a stream may run longer. Cancellation
    reaches whatever the route awaits; counted in `switchboard_abandoned_total`.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, default_seconds: float) -> None:
        self.app = app
        self.metrics = metrics
        self.default_seconds = default_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request inside its budget."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seconds = _budget_seconds(Headers(scope=scope), self.default_seconds)
        limit = Deadline.after(seconds)
        token = _current.set(limit)
        try:
            await self._serve(scope, receive, send, seconds, limit)
        finally:
            _current.reset(token)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, seconds: float, limit: Deadline
    ) -> None:
        # The queue holds one message: a large upload waits for the route to read it.
        feed, inbox = anyio.create_memory_object_stream[Message](1)
        failure: Exception | None = None
        started = finished = False
        budget = anyio.CancelScope(deadline=anyio.current_time() + seconds)

        async def watched_send(message: Message) -> None:
            nonlocal started, finished
            started = True
            # Set before sending: the server reports a finished exchange as a disconnect as well.
            finished = message["type"] == "http.response.body" and not message.get("more_body")
            budget.deadline = limit.at = math.inf  # what the stream still calls has no limit either
            await send(message)

        async def watch() -> None:
            while (message := await receive())["type"] != "http.disconnect":
                await feed.send(message)
            if not finished:
                self.metrics.abandoned.inc()
                log.info("client_hung_up")
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group, feed, inbox:
            group.start_soon(watch)
            with budget:
                try:
                    await self.app(scope, inbox.receive, watched_send)
                except Exception as error:  # noqa: BLE001 - re-raised outside, free of its group
                    failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if budget.cancelled_caught and not started:
            late = DeadlineExceeded(f"No answer within the {seconds:.3f} s that the request gave.")
            await problem_response(scope, late)(scope, receive, send)
