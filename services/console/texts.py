"""The page's words in three languages, one file each beside this one."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "es", "ru")
FOLDER = Path(__file__).with_name("texts")


def _read(language: str) -> Mapping[str, str]:
    with (FOLDER / f"{language}.toml").open("rb") as file:
        return dict(tomllib.load(file))


_words = {language: _read(language) for language in LANGUAGES}


def words(language: str) -> Mapping[str, str]:
    """Return every text of a language by its name."""
    return _words[language]


def say(language: str, name: str, /, **values: Any) -> str:
    """Return one text with its gaps filled."""
    return words(language)[name].format(**values)


def spoken(accept_language: str) -> str:
    """Return the first of our languages that a browser asks for (RFC 9110, 12.5.4), else English.

    A browser lists them by preference, and the page's labels follow the same list.
    """
    for part in accept_language.lower().split(","):
        language = part.strip().partition(";")[0].partition("-")[0]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]
