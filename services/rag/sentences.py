"""Paragraphs and sentences of a text in English, Spanish or Russian, as exact offsets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLANK_LINES = re.compile(r"\n[^\S\n]*\n")
# A sentence ends at its mark, closing quotes included, when something that may start one follows,
# and at a line break before a heading, a list item or a table row. The quantifiers are possessive
# and a run of marks is looked at once: no input makes the search quadratic.
SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'»“”’)\]]*+(?=\s++(?:[\"'«“„(\[¿¡—–-]++\s*+)?[^\W_a-zа-яёáéíóúñü])"
    r"|\n(?=[^\S\n]*+(?:[-*•|#]|\d++[.)]\s))"
)
# After these a dot ends no sentence: a name, a number or the rest of the thing follows.
ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "vs",
        "fig",
        "figs",
        "al",
        "eg",
        "ie",
        "cf",
        "rev",
        "gen",
        "col",
        "capt",
        "lt",
        "sgt",
        "gov",
        "sen",
        "rep",
        "mt",
        "approx",
        "vol",
        "sr",
        "sra",
        "srta",
        "sres",
        "dra",
        "ud",
        "uds",
        "pág",
        "págs",
        "núm",
        "art",
        "av",
        "avda",
        "ej",
        "dpto",
        "ee",
        "d",
        "dña",
        "prof",
        "tel",
        "cap",
        "ed",
        "г",
        "гг",
        "ул",
        "д",
        "т",
        "тыс",
        "млн",
        "млрд",
        "им",
        "св",
        "стр",
        "рис",
        "см",
        "др",
        "пр",
        "проф",
        "акад",
        "н",
        "э",
        "р",
        "ст",
        "оз",
        "пос",
        "обл",
        "кв",
        "гл",
        "табл",
        "напр",
        "тел",
    ]
)


@dataclass(frozen=True)
class Span:
    """A piece of a text, in characters."""

    start: int
    end: int


def sentences(text: str) -> list[Span]:
    """Return the sentences of a text in English, Spanish or Russian."""
    return [span for paragraph in paragraphs(text) for span in sentences_of(text, paragraph)]


def around(text: str, start: int, end: int) -> Span:
    """Return the sentences that hold the characters from `start` to `end`."""
    touched = [span for span in sentences(text) if span.start < end and span.end > start]
    if not touched:
        return Span(start, end)
    return Span(min(start, touched[0].start), max(end, touched[-1].end))


def paragraphs(text: str) -> Iterator[Span]:
    """Yield the blocks between blank lines, without the white space around them."""
    gaps = list(BLANK_LINES.finditer(text))
    starts = [0, *(gap.end() for gap in gaps)]
    ends = [*(gap.start() for gap in gaps), len(text)]
    for start, end in zip(starts, ends, strict=True):
        block = trimmed(text, start, end)
        if block.start < block.end:
            yield block


def sentences_of(text: str, paragraph: Span) -> Iterator[Span]:
    """Yield the sentences of one paragraph."""
    start = paragraph.start
    for mark in SENTENCE_END.finditer(text, paragraph.start, paragraph.end):
        if _is_inside(text, start, mark):
            continue
        yield trimmed(text, start, mark.end())
        start = mark.end()
    rest = trimmed(text, start, paragraph.end)
    if rest.start < rest.end:
        yield rest


def trimmed(text: str, start: int, end: int) -> Span:
    """Return the span without white space at its ends."""
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return Span(start, end)


def _is_inside(text: str, start: int, mark: re.Match[str]) -> bool:
    """Tell whether the dot belongs to a word such as 'Dr.', to an initial or to a number."""
    if mark.group() != ".":
        return False
    found = re.search(r"\w+\Z", text[max(start, mark.start() - 12) : mark.start()])
    if found is None:
        return False
    word = found.group()
    if word.isdigit():  # "1. First" is a list, "14. Mai" no language of ours
        return text[start : mark.start()].strip() == word
    if len(word) == 1 and word.isalpha() and word.isupper():
        return not _is_pronoun(text, start, mark, word)
    if word.lower() == "no":  # a number's, or the answer
        return bool(re.match(r"\s*\d", text[mark.end() : mark.end() + 5]))
    if word in ("д", "п") and re.search(r"\bт\.\s?\Z", text[start : mark.start() - 1]):
        return False  # "и т. д." ends what it stands in, before a capital
    return word.lower() in ABBREVIATIONS


def _is_pronoun(text: str, start: int, mark: re.Match[str], word: str) -> bool:
    """Tell the English 'I' and a lone letter after a small word from an initial."""
    before = text[start : mark.start() - 1].rstrip()
    return word == "I" and bool(re.search(r"\b(?:and|than|as|am|did|do|or|but)\Z", before))
