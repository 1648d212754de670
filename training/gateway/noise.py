"""Make authored phrases look typed by people: openers, missing marks, small misspellings."""

import random
import re
import string

ARTICLES = {
    "en": r"\b(a|an|the)\s",
    "es": r"\b(un|una|el|la|los|las)\s",
    "ru": r"\b(мне|этот|это)\s",
}
NEIGHBOURS = {
    "en": string.ascii_lowercase,
    "es": string.ascii_lowercase + "ñ",
    "ru": "абвгдежзийклмнопрстуфхцчшщыьэюя",
}


def dress(text: str, openers: list[str], closers: list[str], rng: random.Random) -> str:
    """Add a greeting or a polite word before or after, as in about a third of messages."""
    if rng.random() < 0.2:
        text = f"{rng.choice(openers)} {text}"
    if rng.random() < 0.12:
        closer = rng.choice(closers)
        text = text + closer if closer[0] in "!.," else f"{text} {closer}"
    return text


def roughen(text: str, language: str, rng: random.Random) -> str:
    """Drop marks, articles and letters the way hurried people do; often change nothing."""
    if rng.random() < 0.15:
        text = re.sub(r"[¿¡?!.,]", "", text)
    elif rng.random() < 0.2:
        text = text.lstrip("¿¡").rstrip("?.!")
    elif rng.random() < 0.1:
        text += rng.choice([".", "?", "!", "..."])
    if rng.random() < 0.08:
        text = re.sub(ARTICLES[language], "", text)
    if rng.random() < 0.3:
        text = misspell(text, language, rng)
    return text if text.strip() else "?"


def misspell(text: str, language: str, rng: random.Random) -> str:
    """Misspell one or two of the words with four or more letters."""
    words = text.split(" ")
    long_ones = [i for i, word in enumerate(words[:12]) if len(word) >= 4]
    for i in rng.sample(long_ones, min(len(long_ones), rng.choice([1, 1, 2]))):
        words[i] = _slip(words[i], language, rng)
    return " ".join(words)


def _slip(word: str, language: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    kind = rng.choice(["swap", "drop", "double", "replace"])
    if kind == "swap":
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "drop":
        return word[:at] + word[at + 1 :]
    if kind == "double":
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(NEIGHBOURS[language]) + word[at + 1 :]


def gibberish(language: str, rng: random.Random) -> str:
    """Type random keys."""
    letters = NEIGHBOURS[language]
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 4))]
    return " ".join(words)
