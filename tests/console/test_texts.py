"""Three languages say the same things."""

import re

import pytest

from services.console.schemas import INTENTS
from services.console.texts import LANGUAGES, say, spoken, words

GAP = re.compile(r"\{(\w+)\}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_says_everything_with_the_same_gaps(language: str):
    gaps = {name: set(GAP.findall(text)) for name, text in words(language).items()}
    assert gaps == {name: set(GAP.findall(text)) for name, text in words("en").items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_intent_has_a_name(language: str):
    assert all(say(language, intent) for intent in (*INTENTS, "unclear"))


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("es-419", "es"),
        ("de-DE,de;q=0.9,es;q=0.8", "es"),
        ("de", "en"),
        ("*", "en"),
    ],
)
def test_the_browsers_first_language_of_ours_is_spoken(header: str, language: str):
    assert spoken(header) == language
