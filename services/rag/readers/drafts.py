"""What readers take and give."""

from dataclasses import dataclass, field
from typing import Any

MAX_CHARS = 2_000_000  # of one document


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what; none: those with the usual names."""

    question: str | None = None
    answer: str | None = None
    id: str | None = None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Options:
    """How to read files."""

    encoding: str | None = None
    columns: Columns = Columns()
    max_pages: int = 2000


@dataclass
class Draft:
    """A text that was found in a file; `key` tells a table's rows apart."""

    title: str
    text: str
    key: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    place: str = ""


class Unreadable(Exception):
    """A file cannot be read; says why, and at which place of it."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place


def fitting(text: str, place: str = "") -> str:
    """Return the text without characters that cannot be stored, or raise Unreadable."""
    if len(text) > MAX_CHARS:
        raise Unreadable(f"it holds more than {MAX_CHARS:,} characters; cut it into parts", place)
    return text.replace("\0", "")
