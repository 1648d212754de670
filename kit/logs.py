"""One line per event, as JSON or for a person's eye, with the request's id in each."""

import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import structlog

MAX_ID_CHARS = 128  # a longer id from outside would bloat every line


def configure(service: str, level: str, style: Literal["json", "console"]) -> None:
    """Send everything that logs, uvicorn included, through one formatter to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_ids,
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
    for name in ("httpx2", "httpcore2"):  # each call's address is for who looks for a bug
        logging.getLogger(name).setLevel("DEBUG" if level == "debug" else "WARNING")
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


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Ids(NamedTuple):
    """What ties the lines of one request together, over all its hops.

    `state` is the request's own, in which whoever finds it out notes the `tenant`.
    """

    request_id: str
    traceparent: str = ""
    state: Mapping[str, Any] = NOTHING

    @property
    def tenant(self) -> str:
        """Return whose request it is, as far as that is known by now."""
        return str(self.state.get("tenant", ""))


_ids: ContextVar[Ids | None] = ContextVar("ids", default=None)


def ids_of(headers: Mapping[bytes, bytes], state: Mapping[str, Any] = NOTHING) -> Ids:
    """Return the ids that the caller sent, or made ones."""
    request_id = _clean(headers.get(b"x-request-id", b"")) or os.urandom(16).hex()
    return Ids(request_id, _clean(headers.get(b"traceparent", b"")), state)


def _clean(sent: bytes) -> str:
    """Keep an id from outside only if it is short and printable ASCII."""
    text = sent.decode("latin-1")
    return text if len(text) <= MAX_ID_CHARS and text.isascii() and text.isprintable() else ""


def enter(ids: Ids) -> Token[Ids | None]:
    """Log and call under these ids until `leave` is called with what this returns."""
    return _ids.set(ids)


def leave(token: Token[Ids | None]) -> None:
    """Take back the ids that `enter` set."""
    _ids.reset(token)


def current() -> Ids:
    """Return the ids of the request being served; empty ones outside of any."""
    return _ids.get() or Ids("")


def current_ids() -> dict[str, str]:
    """Return the headers that carry the ids of the request being served to the next hop."""
    ids = _ids.get()
    if ids is None:
        return {}
    return {"X-Request-ID": ids.request_id} | (
        {"traceparent": ids.traceparent} if ids.traceparent else {}
    )


def _with_ids(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (ids := _ids.get()) is not None:
        event.setdefault("request_id", ids.request_id)
        if tenant := ids.tenant:
            event.setdefault("tenant", tenant)
        if ids.traceparent:
            event.setdefault("traceparent", ids.traceparent)
    return event
