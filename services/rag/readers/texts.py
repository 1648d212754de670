"""Plain text and Markdown."""

import codecs

from services.rag.readers.drafts import Draft, Options, Unreadable, fitting

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(content: bytes, options: Options) -> list[Draft]:
    """Return the file as one text; a heading at its start is the title."""
    text = decoded(content, options.encoding)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Unreadable("it holds the NUL character, so it is no text", f"line {line}")
    return [Draft(_heading(text), fitting(text))]


def decoded(content: bytes, encoding: str | None) -> str:
    """Return the text in the stated encoding, or in UTF-8 or what its first bytes say."""
    marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "")
    name = marked or encoding or "utf-8"
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        reason = f"it is not {name.upper()}; state another `encoding` or convert it"
        raise Unreadable(reason, f"line {line}, byte {error.start}") from None


def is_encoding(name: str) -> bool:
    """Tell whether this is the name of a character encoding."""
    try:
        b" ".decode(name)  # nothing at all would not be looked at
    except (LookupError, ValueError):
        return False
    return True


def _heading(text: str) -> str:
    """Return the heading that the text starts with, without its marks."""
    first = text.lstrip().split("\n", 1)[0]
    return first.strip("# \r") if first.startswith("#") else ""
