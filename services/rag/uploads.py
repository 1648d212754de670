"""Turn an upload's body into documents: JSON, or files of Markdown, text and JSON."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from kit.errors import BadRequest, Unprocessable, UnsupportedMedia
from services.rag.schemas import NewDocument, NewDocuments

M = TypeVar("M", bound=BaseModel)
READABLE = (".md", ".txt", ".json")
TITLE_CHARS = 200


def from_json(body: bytes) -> NewDocuments:
    """Parse `{"documents": [...]}`; raises BadRequest or Unprocessable with the place."""
    return _validated(NewDocuments, body, "")


def from_file(name: str, content: bytes) -> list[NewDocument]:
    """Read one file; the documents of Markdown and text files are called like their file.

    Raises UnsupportedMedia for other types and Unprocessable for what cannot be read.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in READABLE:
        known = ", ".join(READABLE)
        raise UnsupportedMedia(f"The file {name!r} is none of {known}.")
    if suffix == ".json":
        return _validated(NewDocuments, content, f"{name}: ").documents
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unprocessable(f"The file {name!r} is not UTF-8 at byte {error.start}.") from None
    title = _heading(text) or PurePosixPath(name).stem
    document = {"id": _identity(name), "title": title[:TITLE_CHARS], "text": text}
    return [_checked(lambda: NewDocument.model_validate(document), f"{name}: ")]


def _heading(text: str) -> str:
    """Return the heading that the text starts with, without its marks."""
    first = text.lstrip().split("\n", 1)[0]
    return first.strip("# \r") if first.startswith("#") else ""


def _identity(name: str) -> str:
    """Make the file's name fit for a URL's path."""
    kept = "".join(char if char.isalnum() or char in "._~ @:+()-" else "-" for char in name)
    return kept.lstrip(".~ @:+()-")[:200] or "file"


def _validated(model: type[M], body: bytes, where: str) -> M:
    return _checked(lambda: model.model_validate_json(body), where)


def _checked(make: Callable[[], M], where: str) -> M:
    """Translate pydantic's errors, naming the field but not repeating its value."""
    try:
        return make()
    except ValidationError as error:
        lines = error.errors(include_input=False, include_url=False, include_context=False)
        if any(line["type"] == "json_invalid" for line in lines):
            raise BadRequest(f"{where}The body is not valid JSON.") from None
        problems = [
            {
                "field": ".".join(str(part) for part in line["loc"]),
                "in": "body",
                "message": line["msg"],
                "kind": line["type"],
            }
            for line in lines[:20]
        ]
        detail = "; ".join(f"{line['field']}: {line['message']}" for line in problems[:3])
        raise Unprocessable(f"{where}{detail}", errors=problems) from None
