"""Cut a text into chunks; offsets are exact: `text[start:end]` is the chunk."""

import re
from collections.abc import Callable, Iterator

from services.rag.schemas import Chunking
from services.rag.sentences import Span, around, paragraphs, sentences, sentences_of, trimmed

__all__ = ["WORD", "Span", "around", "chunks", "count_words", "cut", "sentences"]

# What counts as a word; a mark counts as well, and a run without end counts by its length.
WORD = re.compile(r"\w{1,30}|[^\w\s]{1,30}")
DOCUMENT_WORDS = 10_000  # a tsvector has its limit; no model reads so far anyway
PART_WORDS = 400  # of sentences and paragraphs, which are seldom so long

Count = Callable[[str], int]
"""Returns a text's size: in words, or in the embedder's tokens."""


def count_words(text: str) -> int:
    """Return how many words and marks a text has."""
    return len(WORD.findall(text))


def cut(
    text: str, chunking: Chunking, *, default_words: int, count_tokens: Count | None = None
) -> list[Span]:
    """Return the chunks of a text, in order; only those of `window` overlap.

    Every visible character is in a chunk, and none is in pieces unless it has to be.
    """
    if chunking.max_tokens and count_tokens:
        count, room = count_tokens, chunking.max_tokens
    else:
        defaults = {"recursive": default_words, "document": DOCUMENT_WORDS}
        count = count_words
        room = chunking.max_words or defaults.get(chunking.mode, PART_WORDS)
    match chunking.mode:
        case "document":
            return _fitted(text, [trimmed(text, 0, len(text))], room, count)
        case "paragraph":
            return _fitted(text, _with_headings(text), room, count)
        case "sentence":
            whole = (one for block in paragraphs(text) for one in sentences_of(text, block))
            return [part for one in whole for part in _parts(text, one, room, count)]
        case "window":
            blocks = _fitted(text, _with_headings(text), room, count)
            return _windows(text, blocks, chunking.paragraphs, chunking.step, room, count)
        case "recursive":
            return chunks(text, room, count)


def chunks(text: str, room: int, count: Count = count_words) -> list[Span]:
    """Return windows of whole sentences of at most `room` words, in order.

    A heading starts a new window, and so does a paragraph once the window is half full. Windows
    cover every visible character; only a sentence longer than `room` is cut, between words.
    """
    windows: list[Span] = []
    used = 0
    for paragraph in paragraphs(text):
        for index, sentence in enumerate(_pieces(text, paragraph, room, count)):
            size = count(text[sentence.start : sentence.end])
            is_new = index == 0 and (text[sentence.start] == "#" or used > room / 2)
            if not windows or is_new or used + size > room:
                windows.append(sentence)
                used = size
            else:
                windows[-1] = Span(windows[-1].start, sentence.end)
                used += size
    return windows


def _with_headings(text: str) -> list[Span]:
    """Return the paragraphs, a heading joined to the one below it."""
    found: list[Span] = []
    heading: int | None = None
    for block in paragraphs(text):
        start = block.start if heading is None else heading
        is_heading = text[block.start] == "#" and "\n" not in text[block.start : block.end]
        if is_heading:
            heading = start
        else:
            found.append(Span(start, block.end))
            heading = None
    if heading is not None:
        found.append(trimmed(text, heading, len(text)))
    return found


def _fitted(text: str, spans: list[Span], room: int, count: Count) -> list[Span]:
    """Return the spans, those that are too long in windows of whole sentences."""
    found: list[Span] = []
    for span in spans:
        inside = text[span.start : span.end]
        if span.start == span.end:
            continue
        if count(inside) <= room:
            found.append(span)
        else:
            parts = chunks(inside, room, count)
            found += [Span(span.start + one.start, span.start + one.end) for one in parts]
    return found


def _windows(
    text: str, blocks: list[Span], width: int, step: int, room: int, count: Count
) -> list[Span]:
    """Return `width` neighbours at a time, fewer where they would not fit, every `step` blocks."""
    sizes = [count(text[block.start : block.end]) for block in blocks]
    found: list[Span] = []
    start = end = 0
    while end < len(blocks):
        end, used = start, 0
        while end < min(start + width, len(blocks)) and (end == start or used + sizes[end] <= room):
            used += sizes[end]
            end += 1
        found.append(Span(blocks[start].start, blocks[end - 1].end))
        start = min(start + step, end)  # nothing is stepped over
    return found


def _pieces(text: str, paragraph: Span, room: int, count: Count) -> Iterator[Span]:
    """Yield the paragraph's sentences, the overlong ones in parts."""
    for sentence in sentences_of(text, paragraph):
        yield from _parts(text, sentence, room, count)


def _parts(text: str, sentence: Span, room: int, count: Count) -> Iterator[Span]:
    if count(text[sentence.start : sentence.end]) <= room:
        yield sentence
        return
    start, used = sentence.start, 0
    for word in WORD.finditer(text, sentence.start, sentence.end):
        size = count(word.group())
        if used and used + size > room:
            yield trimmed(text, start, word.start())
            start, used = word.start(), 0
        used += size
    yield trimmed(text, start, sentence.end)
