"""Cut a text into chunks of whole sentences; offsets are exact: `text[start:end]` is the chunk."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What counts as a word; a mark counts as well, and a run without end counts by its length.
WORD = re.compile(r"\w{1,30}|[^\w\s]{1,30}")
BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
# A sentence ends at its mark, closing quotes included, when something that may start one follows,
# and at a line break before a heading, a list item or a table row. The quantifiers are possessive
# and a run of marks is looked at once: no input makes the search quadratic.
SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'»”’)\]]*+(?=\s++(?:[\"'«“„(\[¿¡—–-]++\s*+)?[^\W_a-zа-яё])"
    r"|\n(?=[^\S\n]*+(?:[-*•|#]|\d++[.)]\s))"
)
ABBREVIATIONS = """mr mrs ms dr prof st no vs etc fig al eg ie jr sr sra srta dra ud uds pág núm art av ej
    г гг ул д т тыс млн млрд руб коп им св стр рис см др пр проф акад н э р"""


@dataclass(frozen=True)
class Span:
    """A piece of a text, in characters."""

    start: int
    end: int


def chunks(text: str, max_words: int) -> list[Span]:
    """Return windows of whole sentences of at most `max_words` words, in order.

    A heading starts a new window, and so does a paragraph once the window is half full. Windows
    cover every visible character; only a sentence longer than `max_words` is cut, between words.
    """
    windows: list[Span] = []
    used = 0
    for paragraph in _paragraphs(text):
        for index, sentence in enumerate(_pieces(text, paragraph, max_words)):
            size = _count(text, sentence)
            is_new = index == 0 and (text[sentence.start] == "#" or used > max_words / 2)
            if not windows or is_new or used + size > max_words:
                windows.append(sentence)
                used = size
            else:
                windows[-1] = Span(windows[-1].start, sentence.end)
                used += size
    return windows


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text in English, Spanish or Russian."""
    return [span for paragraph in _paragraphs(text) for span in _sentences(text, paragraph)]


def around(text: str, start: int, end: int) -> Span:
    """Return the sentences that hold the characters from `start` to `end`."""
    touched = [span for span in sentences(text) if span.start < end and span.end > start]
    if not touched:
        return Span(start, end)
    return Span(min(start, touched[0].start), max(end, touched[-1].end))


def _paragraphs(text: str) -> Iterator[Span]:
    """Yield the blocks between blank lines, without the white space around them."""
    gaps = list(BLANK_LINES.finditer(text))
    starts = [0, *(gap.end() for gap in gaps)]
    ends = [*(gap.start() for gap in gaps), len(text)]
    for start, end in zip(starts, ends, strict=True):
        block = _trimmed(text, start, end)
        if block.start < block.end:
            yield block


def _sentences(text: str, paragraph: Span) -> Iterator[Span]:
    start = paragraph.start
    for mark in SENTENCE_END.finditer(text, paragraph.start, paragraph.end):
        if _is_abbreviation(text, start, mark):
            continue
        yield _trimmed(text, start, mark.end())
        start = mark.end()
    rest = _trimmed(text, start, paragraph.end)
    if rest.start < rest.end:
        yield rest


def _is_abbreviation(text: str, start: int, mark: re.Match[str]) -> bool:
    """Tell whether the dot belongs to a word such as 'Dr.' or to an initial."""
    if mark.group() != ".":
        return False
    word = re.search(r"\w+\Z", text[max(start, mark.start() - 10) : mark.start()])
    if word is None:
        return False
    is_initial = len(word.group()) == 1 and word.group().isalpha() and word.group().isupper()
    return is_initial or word.group().lower() in ABBREVIATIONS.split()


def _pieces(text: str, paragraph: Span, max_words: int) -> Iterator[Span]:
    """Yield the paragraph's sentences, the overlong ones in parts."""
    for sentence in _sentences(text, paragraph):
        found = list(WORD.finditer(text, sentence.start, sentence.end))
        starts = [sentence.start, *(word.start() for word in found[max_words::max_words])]
        for start, end in zip(starts, [*starts[1:], sentence.end], strict=True):
            yield _trimmed(text, start, end)


def _count(text: str, span: Span) -> int:
    return len(WORD.findall(text, span.start, span.end))


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return Span(start, end)
