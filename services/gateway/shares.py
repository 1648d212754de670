"""How much of each picture a blend takes, as said in words or numbers."""

import re
from typing import Final

from services.gateway.phrasing import FLAGS

FRACTIONS: Final = (
    (r"two thirds|dos tercios|две трети|двух третей", 2 / 3),
    (r"three quarters|tres cuartos|три четверти|трёх четвертей", 0.75),
    (r"(?:a|one) third|un tercio|треть|трети", 1 / 3),
    (r"(?:a|one)? ?quarter|un cuarto|четверть|четверти", 0.25),
    (r"half|la mitad|mitad|половин[аыу]", 0.5),
)
EVEN: Final = re.compile(
    r"half and half|fifty[- ]fifty|equal(?:ly)?|evenly|mitad y mitad|partes iguales|por igual|поровну|в равных|пополам",
    FLAGS,
)
PAIR: Final = re.compile(
    r"(\d{1,3})\s?%?\s?(?:/|-|–|:|and|to|y|a|и|на|к)\s?(\d{1,3})\s*(?:%|\b)", FLAGS
)
AMOUNT: Final = re.compile(
    r"(\d{1,3}(?:[.,]\d+)?)\s?(%|per ?cent|por ciento|процент\w*)|(?<![\d.,])(0?[.,]\d+)", FLAGS
)
ORDINALS: Final = (
    re.compile(
        r"\b(?:first|left|primer[ao]?|izquierda|перв\w+|лев\w+)\b|\b(?:image|picture|photo|imagen|foto) (?:1|one|una?)\b",
        FLAGS,
    ),
    re.compile(
        r"\b(?:second|right|other|segund[ao]|derecha|otr[ao]|втор\w+|прав\w+|друг\w+)\b|\b(?:image|picture|photo|imagen|foto) (?:2|two|dos)\b",
        FLAGS,
    ),
    re.compile(
        r"\b(?:third|tercer[ao]?|трет(?:ья|ьей|ье|ий|ьего|ью))\b|\b(?:image|picture|photo|imagen|foto) (?:3|three|tres)\b",
        FLAGS,
    ),
)
PICTURE_WORD: Final = re.compile(
    r"\b(?:photos?|pictures?|images?|selfie|im[aá]gen(?:es)?|fotos?|картин\w+|фото\w*|изображени\w+|селфи|снимк\w+)\b",
    FLAGS,
)
MIXED_IN: Final = re.compile(PICTURE_WORD.pattern + r"\s+(?:with|and|con|y|с|со|и)\s+(.+)$", FLAGS)
STYLE: Final = re.compile(
    r"(?:make it|make the result|que sea|hazlo|пусть будет|сделай)\s+(.+)$", FLAGS
)


def weights_of(text: str, images: int) -> list[float]:
    pair = PAIR.search(text)
    if pair and int(pair[1]) + int(pair[2]) == 100:
        return [int(pair[1]) / 100, int(pair[2]) / 100]
    named = _named_amounts(text)
    if named:
        return _complete(named, images)
    count = max(2, images)
    return [round(1 / count, 4)] * count if EVEN.search(text) else []


def _named_amounts(text: str) -> dict[int, float]:
    """Return the share of each picture that the message names, by position."""
    shares: dict[int, float] = {}
    for clause in re.split(r",(?!\d)|;|\b(?:and|y|и|con|with|с)\b", text):
        amount = _amount(clause)
        if amount is None:
            continue
        named = [i for i, pattern in enumerate(ORDINALS) if pattern.search(clause)]
        shares[named[0] if named else len(shares)] = amount
    return shares


def _amount(clause: str) -> float | None:
    found = AMOUNT.search(clause)
    if found:
        return (
            float(found[1].replace(",", ".")) / 100
            if found[1]
            else float(found[3].replace(",", "."))
        )
    return next(
        (v for words, v in FRACTIONS if re.search(rf"\b(?:{words})\b", clause, FLAGS)), None
    )


def _complete(shares: dict[int, float], images: int) -> list[float]:
    """Give the rest to the pictures that were not named and scale to a sum of 1."""
    count = max(2, images, max(shares) + 1)
    rest = max(0.0, 1 - sum(shares.values()))
    unnamed = count - len(shares)
    weights = [shares.get(i, rest / unnamed if unnamed else 0.0) for i in range(count)]
    total = sum(weights)
    return [round(w / total, 4) for w in weights] if total > 0 else []
