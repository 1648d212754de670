"""Say a scene in English, Spanish or Russian, the way people type it."""

import random

from training.imagegen import english, russian, spanish
from training.imagegen.scenes import Scene

LANGUAGES = {"en": english.say, "es": spanish.say, "ru": russian.say}
REQUEST_SHARE = 0.55
NOISE_SHARE = 0.15
VOWELS = {"latin": "aeiou", "cyrillic": "аеиоуыюя"}
CONSONANTS = {"latin": "bcdfghjklmnpqrstvwxyz", "cyrillic": "бвгджзклмнпрстфхцчшщ"}
# Accented letters, Greek, CJK and emoji: every byte of the tokenizer is met in training.
SIGN_RANGES = ((0xC0, 0x250), (0x391, 0x3C9), (0x4E00, 0x9FA5), (0x1F300, 0x1F650))


def caption(scene: Scene, language: str, dice: random.Random) -> str:
    """Return one training caption; some carry made-up words, which the model learns to ignore."""
    text = LANGUAGES[language](scene, dice, dice.random() < REQUEST_SHARE)
    if dice.random() >= NOISE_SHARE:
        return text
    words = text.split(" ")
    for _ in range(dice.choice((1, 1, 2))):
        script = "cyrillic" if language == "ru" else "latin"
        start = dice.choice(words)[: dice.randint(1, 4)] if dice.random() < 0.4 else ""
        words.insert(dice.randint(0, len(words)), start + made_up_word(script, dice))
    return " ".join(words)


def made_up_word(script: str, dice: random.Random) -> str:
    """Return a pronounceable word, now and then a number or signs of other scripts."""
    if dice.random() < 0.06:
        return str(dice.randint(0, 999))
    if dice.random() < 0.08:
        signs = [dice.choice(SIGN_RANGES) for _ in range(dice.randint(1, 2))]
        return "".join(chr(dice.randrange(first, last)) for first, last in signs)
    letters = [
        dice.choice(CONSONANTS[script])
        + (dice.choice(VOWELS[script]) if dice.random() < 0.8 else "")
        for _ in range(dice.randint(1, 4))
    ]
    start = dice.choice(VOWELS[script]) if dice.random() < 0.3 else ""
    return start + "".join(letters)


def syllables() -> list[str]:
    """List every consonant with its vowels, which the tokenizer keeps in one piece."""
    return [c + v for script in VOWELS for c in CONSONANTS[script] for v in VOWELS[script]]
