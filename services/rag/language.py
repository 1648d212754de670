"""The stems by which the words of a text are found, in the language that it is in."""

from collections.abc import Iterable

import Stemmer

from kit.language import CYRILLIC, STOP_WORDS, detect, spanish_lead, word_set, words

__all__ = ["candidates", "detect", "points_back", "stems"]

SNOWBALL = {"en": "english", "es": "spanish", "ru": "russian"}
# Words that point back at something said before.
POINTING = {
    "en": word_set("it its they them their he him his she her that this those these there"),
    "es": word_set("eso esa ese esos esas él ella ellos ellas lo su sus allí ahí"),
    "ru": word_set("он она оно они его ее их ему ей им это этот эта эти этого там тогда"),
}


def candidates(query: str) -> list[str]:
    """Return the languages a short text may be in: both Latin ones when nothing tells them apart."""
    language = detect(query)
    unsure = language == "en" and spanish_lead(query) == 0
    return ["en", "es"] if unsure else [language]


def stems(text: str, languages: Iterable[str]) -> list[str]:
    """Return the stems of the words that carry meaning, in order.

    Words in Cyrillic are always stemmed as Russian ones, so that a text may mix scripts.
    """
    known = words(text)
    found: list[str] = []
    for language in dict.fromkeys(languages):
        stemmer = Stemmer.Stemmer(SNOWBALL[language])
        stop = STOP_WORDS[language]
        own = [word for word in known if word not in stop and _fits(word, language)]
        found += stemmer.stemWords(own)
    if "ru" not in languages and (rest := [word for word in known if CYRILLIC.search(word)]):
        found += stems(" ".join(rest), ["ru"])
    return found


def points_back(text: str) -> bool:
    """Tell whether a question holds a word such as 'it' that stands for something said before."""
    known = set(words(text))
    return any(known & POINTING[language] for language in candidates(text))


def _fits(word: str, language: str) -> bool:
    return language == "ru" or not CYRILLIC.search(word)
