"""Say which of the three languages a message is written in: the script decides Russian."""

from typing import Final, Literal

from services.gateway.features import QUOTED

Language = Literal["en", "es", "ru"]
LETTERS_READ: Final = 40  # the request comes first; what follows may be a text in another language
CYRILLIC_SHARE: Final = 0.3
OPENING: Final = 18  # characters: two or three words, which are seldom payload


def is_russian(text: str) -> bool:
    """Say whether the request around the quotations is in Cyrillic."""
    bare = QUOTED.sub("", text)
    letters = [c for c in bare if c.isalpha()] or [c for c in text if c.isalpha()]
    read = letters[:LETTERS_READ]
    cyrillic = sum("\u0400" <= c <= "\u04ff" for c in read)
    return cyrillic > CYRILLIC_SHARE * len(read)


def language_of(text: str, spanish_log_odds: float) -> Language:
    """Name the language; `spanish_log_odds` comes from the router's n-grams."""
    if is_russian(text):
        return "ru"
    return "es" if spanish_log_odds > 0 else "en"
