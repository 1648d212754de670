"""Log lines are machine readable and carry the request's id."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from kit import logs
from tests.kit import tiny
from tests.support import serve


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put the global logging set-up back after each test."""
    handlers, level = logging.root.handlers, logging.root.level
    before = structlog.get_config()
    yield
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    structlog.configure(**before)


def test_a_line_is_json_with_service_level_and_bound_values(capsys: pytest.CaptureFixture[str]):
    logs.configure("qa", "info", "json")
    with structlog.contextvars.bound_contextvars(request_id="abc"):
        structlog.get_logger("here").info("ответ", count=2)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp")
    assert line == {
        "event": "ответ",
        "level": "info",
        "logger": "here",
        "service": "qa",
        "request_id": "abc",
        "count": 2,
    }


def test_lines_of_libraries_look_the_same(capsys: pytest.CaptureFixture[str]):
    logs.configure("qa", "info", "json")
    logging.getLogger("uvicorn.error").warning("shutting down")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["service"], line["level"]) == ("shutting down", "qa", "warning")


def test_a_bug_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]):
    logs.configure("qa", "info", "json")
    try:
        raise RuntimeError("here it is")
    except RuntimeError:
        structlog.get_logger("here").exception("failed")
    assert "RuntimeError: here it is" in json.loads(capsys.readouterr().err)["exception"]


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]):
    logs.configure("qa", "warning", "json")
    structlog.get_logger("here").info("chatter")
    assert capsys.readouterr().err == ""


def test_the_console_style_is_for_people(capsys: pytest.CaptureFixture[str]):
    logs.configure("qa", "info", "console")
    structlog.get_logger("here").info("ready", port=8002)
    assert "ready" in (line := capsys.readouterr().err)
    assert "port=8002" in line


@pytest.mark.parametrize("sent", ["x" * 129, "tab\there", "naïve"])
async def test_an_id_that_would_spoil_the_log_is_replaced(sent: str):
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/who", headers=[(b"X-Request-ID", sent.encode())])
    assert answer.headers["x-request-id"] not in ("", sent)
