"""What the page shows of turns, pictures, documents and services, as HTML; everything is escaped."""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.console.painting import Painting
from services.console.schemas import INTENTS, Turn
from services.console.texts import say

EXAMPLES = ("example_draw", "example_classify", "example_chat")

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
for _name in _templates.list_templates():
    _templates.get_template(_name)  # now, and not at the first visitor's on the event loop


def _render(template: str, language: str, **values: Any) -> str:
    return _templates.get_template(template).render(
        say=partial(say, language), percent=_percent, language=language, **values
    )


def _percent(share: float) -> str:
    """Return whole per cents; only what is certain shows 100, only what is impossible 0."""
    if 0 < share < 0.01:
        return "< 1"
    return "100" if share >= 1 else str(min(99, round(share * 100)))


def conversation(
    turns: Sequence[Turn],
    thumbnails: Mapping[str, str],
    language: str,
    waiting: Collection[str] = (),
) -> str:
    """Show the turns, newest first; those whose ids are `waiting` cannot be corrected yet.

    `thumbnails` holds `data:` URLs by a picture's address.
    """
    return _render(
        "conversation.html",
        language,
        turns=list(reversed(turns)),
        thumbnails=thumbnails,
        waiting=waiting,
        intents=INTENTS,
        examples=EXAMPLES,
    )


def paintings(pictures: Sequence[Painting], language: str) -> str:
    """Show how far pictures are, with their previews."""
    now = time.monotonic()
    left = [(picture, picture.seconds_left(now)) for picture in pictures]
    return _render("paintings.html", language, pictures=left) if left else ""


def documents(rows: Sequence[Mapping[str, Any]], language: str) -> str:
    """Show the documents of an upload: name, status, and why one failed."""
    ready = sum(row["status"] == "ready" for row in rows)
    return _render("documents.html", language, rows=rows, ready=ready)


def services(states: Sequence[Mapping[str, Any]], language: str) -> str:
    """Show who takes work now, and why the others do not."""
    return _render("services.html", language, states=states)


def source(document: Mapping[str, Any], start: int, end: int, language: str) -> str:
    """Show a document with the cited characters marked, in a dialog of its own."""
    text = str(document["text"])
    return _render(
        "source.html",
        language,
        title=document["title"],
        before=text[:start],
        cited=text[start:end],
        after=text[end:],
        nonce=secrets.token_hex(4),  # the same source opened twice is a change as well
    )


def note(text: str, *, is_problem: bool = False) -> str:
    """Show one sentence."""
    return _render("note.html", "en", text=text, is_problem=is_problem) if text else ""
