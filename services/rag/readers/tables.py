"""Tables of questions and answers: CSV with a header row, or a JSON object per line."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.rag.readers.drafts import Columns, Draft, Options, Unreadable, fitting
from services.rag.readers.texts import decoded

MAX_ROWS = 20_000
MAX_CELL = 2_000_000
TITLE_CHARS = 500
QUESTIONS = ("question", "pregunta", "вопрос", "title")
ANSWERS = ("answer", "respuesta", "ответ", "text")
DELIMITERS = ",;\t|"

Row = tuple[str, Mapping[str, Any]]
"""A row's place in its file, and its cells by column."""


def read_csv(content: bytes, options: Options) -> list[Draft]:
    """Return a text per row: the question is its title."""
    text = decoded(content, options.encoding)
    return _drafts(_csv_rows(text), options.columns)


def read_jsonl(content: bytes, options: Options) -> list[Draft]:
    """Return a text per line: the question is its title."""
    return _drafts(_jsonl_rows(decoded(content, options.encoding)), options.columns)


def _csv_rows(text: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL)
    header = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(f"it is no CSV: {error}", f"line {reader.line_num}") from None
        place, start = f"line {start}", reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = [cell.strip() for cell in cells]
        elif len(cells) != len(names):
            reason = f"the row has {len(cells)} cells and the header {len(names)}"
            raise Unreadable(reason, place)
        else:
            yield place, dict(zip(names, cells, strict=True))


def _jsonl_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"it is no JSON: {error}", f"line {number}") from None
        if not isinstance(row, dict):
            raise Unreadable("it is no JSON object", f"line {number}")
        yield f"line {number}", row


def _drafts(rows: Iterator[Row], columns: Columns) -> list[Draft]:
    drafts: list[Draft] = []
    seen: Counter[str] = Counter()
    for place, row in rows:
        if len(drafts) == MAX_ROWS:
            raise Unreadable(f"it has more than {MAX_ROWS:,} rows; cut it into parts", place)
        question = _cell(row, _column(row, columns.question, QUESTIONS, "question", place), place)
        answer = _cell(row, _column(row, columns.answer, ANSWERS, "answer", place), place)
        key = _cell(row, columns.id, place) if columns.id else _digest(question)
        seen[key] += 1
        if columns.id and seen[key] > 1:
            raise Unreadable(f"the id {key!r} stands there for the second time", place)
        unique = key if seen[key] == 1 else f"{key}-{seen[key]}"
        metadata = {name: _value(row, name, place) for name in columns.metadata}
        title = question if len(question) <= TITLE_CHARS else question[: TITLE_CHARS - 1] + "…"
        drafts.append(Draft(title, fitting(answer, place), unique, metadata, place))
    if not drafts:
        raise Unreadable("it has no rows")
    return drafts


def _column(
    row: Mapping[str, Any], stated: str | None, usual: Sequence[str], role: str, place: str
) -> str:
    """Return the name of the column with this role, or raise Unreadable."""
    if stated is not None:
        return stated
    by_lower = {name.strip().lower(): name for name in row}
    found = next((by_lower[name] for name in usual if name in by_lower), None)
    if found is None:
        known = ", ".join(repr(name) for name in list(row)[:10])
        reason = f"which column is the {role}? State `{role}_column`, one of {known}"
        raise Unreadable(reason, place)
    return found


def _cell(row: Mapping[str, Any], name: str, place: str) -> str:
    value = _value(row, name, place)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if value is None or not text.strip():
        raise Unreadable(f"the column {name!r} is empty", place)
    return text.replace("\0", "").strip()


def _value(row: Mapping[str, Any], name: str, place: str) -> Any:
    if name not in row:
        raise Unreadable(f"there is no column {name!r}", place)
    return row[name]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
