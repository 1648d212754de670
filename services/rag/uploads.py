"""Turn an upload's body into documents: JSON, or files of many kinds."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from kit.errors import BadRequest, ServiceError, Unprocessable, UnsupportedMedia
from services.rag.readers import sandbox, tables, texts
from services.rag.readers.drafts import Columns, Draft, Options, Unreadable
from services.rag.schemas import FileDocument, Metadata, NewDocuments

M = TypeVar("M")
P = TypeVar("P", bound=BaseModel)
TITLE_CHARS = 200
KEY_CHARS = 60
ID_CHARS = 200
METADATA: TypeAdapter[Metadata] = TypeAdapter(Metadata)

PLAIN = {
    ".csv": tables.read_csv,
    ".jsonl": tables.read_jsonl,
    ".md": texts.read,
    ".txt": texts.read,
}
FOREIGN = {".docx": "word", ".htm": "pages", ".html": "pages", ".pdf": "pdf"}
READABLE = sorted((*PLAIN, *FOREIGN, ".json"))


@dataclass(frozen=True)
class Reading:
    """How the files of an upload are read, and what is noted with all their documents."""

    options: Options = field(default_factory=Options)
    metadata: dict[str, Any] = field(default_factory=dict)
    seconds: int = 60


def from_json(body: bytes) -> NewDocuments:
    """Parse `{"documents": [...]}`; raises BadRequest or Unprocessable with the place."""
    return _validated(NewDocuments, body, "")


def reading(fields: Mapping[str, str], *, max_pages: int, seconds: int) -> Reading:
    """Understand the form fields beside the files, or raise Unprocessable."""
    known = {"encoding", "question_column", "answer_column", "id_column", "metadata_columns"}
    if strange := set(fields) - known - {"metadata"}:
        raise Unprocessable(f"The form has no field {min(strange)!r}.")
    encoding = fields.get("encoding") or None
    if encoding and not texts.is_encoding(encoding):
        raise Unprocessable(f"encoding: {encoding!r} is no encoding that is known here.")
    named = fields.get("metadata_columns", "").split(",")
    columns = Columns(
        question=fields.get("question_column") or None,
        answer=fields.get("answer_column") or None,
        id=fields.get("id_column") or None,
        metadata=tuple(name.strip() for name in named if name.strip()),
    )
    stated = fields.get("metadata") or "{}"
    metadata = _checked(lambda: METADATA.validate_json(stated), "metadata: ")
    return Reading(Options(encoding, columns, max_pages), metadata, seconds)


def from_file(name: str, content: bytes, how: Reading | None = None) -> list[FileDocument]:
    """Read one file; blocking. What it holds is called like the file.

    Raises UnsupportedMedia for other types and Unprocessable, with the place, for what cannot be read.
    """
    how = how or Reading()
    suffix = PurePosixPath(name).suffix.lower()
    digest = hashlib.sha256(content).hexdigest()
    if suffix == ".json":
        listed = _validated(NewDocuments, content, f"{name}: ").documents
        found = [(f"{name}: ", one.model_dump(exclude_unset=True)) for one in listed]
    else:
        drafts = _read(name, suffix, content, how)
        found = [(_where(name, draft.place), _content(name, draft)) for draft in drafts]
    return [
        _checked(partial(_document, name, digest, {**how.metadata}, one), where)
        for where, one in found
    ]


def together(problems: list[tuple[str, ServiceError]]) -> ServiceError:
    """Make one error of those of several files; a single one is it itself."""
    if len(problems) == 1:
        return problems[0][1]
    named = [{"file": name, "message": error.detail} for name, error in problems]
    detail = " ".join(error.detail for _, error in problems[:3])
    return Unprocessable(f"{len(problems)} files cannot be read: {detail}", errors=named)


def _read(name: str, suffix: str, content: bytes, how: Reading) -> list[Draft]:
    try:
        if suffix in PLAIN:
            return PLAIN[suffix](content, how.options)
        if suffix in FOREIGN:
            return sandbox.read(FOREIGN[suffix], content, how.options, how.seconds)
    except Unreadable as error:
        place = f", {error.place}" if error.place else ""
        detail = f"The file {name!r}{place}: {error.reason}."
        problem = {"file": name, "place": error.place, "message": error.reason}
        raise Unprocessable(detail, errors=[problem]) from None
    raise UnsupportedMedia(f"The file {name!r} is none of {', '.join(READABLE)}.")


def _document(
    name: str, digest: str, metadata: dict[str, Any], content: dict[str, Any]
) -> FileDocument:
    merged = {**metadata, **content.get("metadata", {})}
    if not content.get("id"):
        words = repr((content.get("title"), content["text"])).encode()
        content = {**content, "id": _identity(name, hashlib.sha256(words).hexdigest()[:16])}
    return FileDocument(**{**content, "metadata": merged, "file": name, "file_sha256": digest})


def _content(name: str, draft: Draft) -> dict[str, Any]:
    title = draft.title or PurePosixPath(name).stem
    return {
        "id": _identity(name, draft.key),
        "title": title if draft.key else title[:TITLE_CHARS],
        "text": draft.text,
        "metadata": draft.metadata,
    }


def _where(name: str, place: str) -> str:
    return f"{name}, {place}: " if place else f"{name}: "


def _identity(name: str, key: str | None = None) -> str:
    """Make the file's name, and a row's key behind it, fit for a URL's path: `folder:faq.csv:7`."""
    end = f":{_fit(key, KEY_CHARS)}" if key else ""
    return _fit(name.replace("/", ":"), ID_CHARS - len(end)) + end


def _fit(text: str, room: int) -> str:
    """Return the text if it fits, else what does of it, and a checksum to tell others apart."""
    allowed = "".join(char if char.isalnum() or char in "._~ @:+()-" else "-" for char in text)
    fit = allowed.lstrip(".~ @:+()-")
    if fit == text and len(fit) <= room:
        return fit
    return f"{fit[: room - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("~")


def _validated(model: type[P], body: bytes, where: str) -> P:
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
