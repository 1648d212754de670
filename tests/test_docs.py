"""What the documents tell a reader to type works, and the answers they show have that shape."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import RunningStack

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "services").glob("*/README.md"))]
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
CURL_FLAGS = re.compile("-[sSfLiN]+")  # how curl prints, not what it asks


@dataclass
class Request:
    """What a curl command line asks for."""

    method: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    files: list[tuple[str, Path]] = field(default_factory=list)


def parsed(words: Iterator[str]) -> Request:
    request = Request()
    for word in words:
        if word in ("-X", "--request"):
            request.method = next(words)
        elif word in ("-H", "--header"):
            name, _, value = next(words).partition(":")
            request.headers[name] = value.strip()
        elif word in ("-d", "--data", "--json"):
            request.body = next(words)
            request.headers.setdefault("Content-Type", "application/json")
        elif word in ("-F", "--form"):
            name, _, file = next(words).partition("=@")
            request.files.append((name, ROOT / file))
        elif word in ("-o", "--output"):
            next(words)
        elif not CURL_FLAGS.fullmatch(word):
            assert not word.startswith("-"), f"this test does not know curl's {word}"
            request.url = word
    has_body = request.body is not None or request.files
    request.method = request.method or ("POST" if has_body else "GET")
    return request


def commands(block: str) -> Iterator[Request]:
    for words in command_lines(block.replace("\\\n", " ")):
        if words[:1] == ["curl"]:
            yield parsed(iter(words[1:]))


def command_lines(block: str) -> Iterator[list[str]]:
    """Split a block as a shell would; a quoted argument may go over several lines."""
    begun = ""
    for line in block.splitlines(keepends=True):
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation is still open
            continue
        yield words
        begun = ""
    assert not begun, f"a quotation is never closed: {begun}"


def send(client: httpx2.Client, request: Request) -> httpx2.Response:
    path = re.sub(r"^(https?://)?(localhost|127\.0\.0\.1):\d+", "", request.url)
    files = [(name, (file.name, file.read_bytes())) for name, file in request.files]
    return client.request(
        request.method,
        path,
        headers=request.headers,
        content=request.body if request.body is None else request.body.encode(),
        files=files or None,
    )


def shape(value: Any) -> Any:
    """Return the keys of a JSON answer, two levels deep: values differ from run to run."""
    if isinstance(value, dict):
        return {name: sorted(v) if isinstance(v, dict) else None for name, v in value.items()}
    return type(value)


@pytest.mark.stack
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_curl_works_and_its_answer_has_the_shape_shown(
    document: Path, running_stack: RunningStack
):
    answer: httpx2.Response | None = None
    identity = ""
    for language, block in BLOCK.findall(document.read_text()):
        if language == "json" and answer is not None:
            assert shape(json.loads(block)) == shape(answer.json()), block
            answer = None
        for request in commands(block) if language in ("sh", "bash") else ():
            request.url = request.url.replace("$ID", identity)
            answer = send(running_stack.gateway, request)
            assert answer.is_success, f"{request.method} {request.url}: {answer.text}"
            if answer.headers.get("content-type", "").startswith("application/json"):
                body = answer.json()
                identity = body.get("id", identity) if isinstance(body, dict) else identity


@pytest.mark.parametrize(
    "document",
    [path for path in sorted(ROOT.rglob("*.md")) if not {".venv", ".models"} & set(path.parts)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_link_leads_to_a_file(document: Path):
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


def test_every_make_command_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "run", "check"} <= named <= targets


def test_every_service_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for service in (ROOT / "services").glob("*/app.py"):
        assert f"services/{service.parent.name}" in text
