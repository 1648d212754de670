"""Words of three languages that mean the same to the router: a rare verb counts like a common one.

Entries are folded (see features.fold); one that ends in `*` stands for every word that begins so. The longest entry that fits a word
decides, and a word may belong to several concepts.
"""

from typing import Final

from services.gateway.lexicon import LEXICON

LONGEST: Final = 14  # no entry is longer; what follows in a word is an ending


def _tables() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    whole: dict[str, tuple[str, ...]] = {}
    stems: dict[str, tuple[str, ...]] = {}
    for concept, entries in LEXICON.items():
        for entry in entries.split():
            table, key = (stems, entry[:-1]) if entry.endswith("*") else (whole, entry)
            table[key] = (*table.get(key, ()), concept)
    return whole, stems


WHOLE, STEMS = _tables()


def concepts_of(word: str) -> tuple[str, ...]:
    """Name the concepts of a folded word."""
    known = WHOLE.get(word)
    if known is not None:
        return known
    for size in range(min(len(word), LONGEST), 1, -1):
        known = STEMS.get(word[:size])
        if known is not None:
            return known
    return ()


def conceptual(words: list[str]) -> set[str]:
    """Return the concepts in a message, the one it opens with, and those that follow each other."""
    found: set[str] = set()
    before: tuple[str, ...] = ()
    for word in words:
        here = concepts_of(word)
        if not here:
            continue
        found.update(f"#{concept}|" for concept in here)
        if not before:
            found.update(f">#{concept}|" for concept in here)
        found.update(f"#{a} #{b}|" for a in before for b in here if a != b)
        before = here
    return found
