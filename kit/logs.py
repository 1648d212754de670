"""One line per event, as JSON or for a person's eye, with the request's id in each."""

import logging
import sys
import uuid
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_ID_CHARS = 128  # a longer id from outside would bloat every line


def configure(service: str, level: str, style: Literal["json", "console"]) -> None:
    """Send everything that logs, uvicorn included, through one formatter to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    final: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if style == "json":
        final.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*final, render])
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _named(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


class RequestIdMiddleware:
    """Take or make `X-Request-ID`, keep it for the logs and later hops, and return it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under its id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _clean(headers.get("x-request-id", "")) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        traceparent = _clean(headers.get("traceparent", ""))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        bound = {"request_id": request_id} | ({"traceparent": traceparent} if traceparent else {})
        with structlog.contextvars.bound_contextvars(**bound):
            await self.app(scope, receive, send_with_id)


def _clean(text: str) -> str:
    """Keep an id from outside only if it is short and printable ASCII."""
    return text if len(text) <= MAX_ID_CHARS and text.isascii() and text.isprintable() else ""


def current_ids() -> dict[str, str]:
    """Return the request id and traceparent of the request being served, for the next hop."""
    bound = structlog.contextvars.get_contextvars()
    ids = {"X-Request-ID": bound.get("request_id"), "traceparent": bound.get("traceparent")}
    return {name: value for name, value in ids.items() if value}
