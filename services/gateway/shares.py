"""How much of each picture a blend takes, as said in words or numbers."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from services.gateway.numerals import ALONE, DENOMINATORS, FRACTION, NUMBER, WORDS, value_of
from services.gateway.phrasing import FLAGS

EVEN: Final = re.compile(
    r"half and half|fifty[- ]fifty|equal(?:ly)?|evenly|mitad y mitad|partes iguales|por igual|a medias"
    r"|поровну|в равных|пополам",
    FLAGS,
)
THIRDS: Final = re.compile(r"\b(?:in thirds|a tercios|por tercios|по трети)\b", FLAGS)
EACH: Final = re.compile(r"\b(?:each|apiece|cada un[ao]|кажд\w+)\b", FLAGS)
TIMES: Final = re.compile(
    r"\b(?:(?P<two>twice|double|el doble|вдвое|в два раза)|(?P<three>three times|triple|втрое|в три раза))\b",
    FLAGS,
)
SHARE: Final = re.compile(FRACTION, FLAGS)
IS_ALONE: Final = re.compile(ALONE, FLAGS)
SIDE_BY_SIDE: Final = r"\s?%?\s?(/|-|–|:|and|to|y|a|и|на|к)\s?"
PAIR: Final = re.compile(rf"({NUMBER}){SIDE_BY_SIDE}({NUMBER})\s*%?", FLAGS)
RATIO_MARKS: Final = frozenset({":", "to", "a", "к", "на"})
LARGEST_RATIO: Final = 20
SMALLEST_PERCENT: Final = 10  # "the left one": a smaller number without a unit is no share
PERCENT: Final = re.compile(rf"({NUMBER})\s?(?:%|per ?cent|por ciento|процент\w*)", FLAGS)
PART: Final = re.compile(rf"({NUMBER})\s(?:parts?|partes?|част(?:ь|и|ей|ью))\b", FLAGS)
DECIMAL: Final = re.compile(r"(?<![\d.,])(0?[.,]\d+)", FLAGS)
LARGE: Final = re.compile(r"(?<![\w.,/])\d\d(?![\w%/]|[.,]\d|\s?%)", FLAGS)
BARE: Final = re.compile(rf"({NUMBER})", FLAGS)
CLAUSE: Final = re.compile(r",(?!\d)|;|\b(?:and|y|и|con|with|с)\b")
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
NUMBERED: Final = re.compile(rf"(?:{PICTURE_WORD.pattern})\s+$", FLAGS)
MIXED_IN: Final = re.compile(PICTURE_WORD.pattern + r"\s+(?:with|and|con|y|с|со|и)\s+(.+)$", FLAGS)
STYLE: Final = re.compile(
    r"(?:make it|make the result|que sea|hazlo|пусть будет|сделай)\s+(.+)$", FLAGS
)


@dataclass(frozen=True, slots=True)
class Shares:
    """The weights of the pictures in their order, adding up to 1, and where the message says them."""

    weights: list[float]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    """One amount in a message: of which picture, if it says so, and where."""

    value: float
    is_part: bool
    is_bare: bool
    picture: int | None
    start: int
    end: int


def shares_of(text: str, images: int) -> Shares | None:
    """Read the shares of the pictures, or None when the message says none."""
    return _ratio(text) or _named(text, images) or _times(text, images) or _even(text, images)


def _ratio(text: str) -> Shares | None:
    """Read "70/30", "3 to 1"."""
    for pair in PAIR.finditer(text):
        a, b = value_of(pair[1]), value_of(pair[3])
        is_whole = a + b == 100
        is_small = 0 < a <= LARGEST_RATIO and 0 < b <= LARGEST_RATIO
        is_ratio = is_small and pair[2].lower() in RATIO_MARKS
        if is_whole or (is_ratio and not NUMBERED.search(text[: pair.start()])):
            weights = [round(a / (a + b), 4), round(b / (a + b), 4)]
            return Shares(weights, pair.start(), pair.end())
    return None


def _even(text: str, images: int) -> Shares | None:
    said = EVEN.search(text)
    count = max(2, images)
    if said is None and images in (0, 3):
        said, count = THIRDS.search(text), 3
    return _equal(count, said.start(), said.end()) if said else None


def _equal(count: int, start: int, end: int) -> Shares:
    return Shares([round(1 / count, 4)] * count, start, end)


def _times(text: str, images: int) -> Shares | None:
    """Read "twice as much of the first": the picture that is named next to it outweighs the others."""
    said = TIMES.search(text)
    if said is None:
        return None
    named = [(m.start(), i) for i, p in enumerate(ORDINALS) if (m := p.search(text, said.end()))]
    if not named:
        return None
    favoured, factor, count = min(named)[1], 2 if said["two"] else 3, max(2, images)
    parts = [factor if i == favoured else 1 for i in range(max(count, favoured + 1))]
    return Shares([round(p / sum(parts), 4) for p in parts], said.start(), said.end())


def _named(text: str, images: int) -> Shares | None:
    """Read the share of each picture that the message names."""
    said = _amounts(text)
    is_parts = any(s.is_part for s in said)
    if not is_parts:
        said = [s for s in said if not s.is_bare or s.value >= SMALLEST_PERCENT]
    adds_up = sum(s.value for s in said) == 100
    if not said or all(s.is_bare for s in said) and not adds_up:
        return None
    if len(said) == 1 and 0 < said[0].value <= 0.5 and EACH.search(text):
        return _equal(round(1 / said[0].value), said[0].start, said[0].end)
    shares: dict[int, float] = {}
    for s in said:
        at = s.picture if s.picture is not None else len(shares)
        shares[at] = s.value / 100 if s.is_bare and not is_parts else s.value
    if is_parts:
        total = sum(shares.values())
        is_known = len(shares) > 1 and total > 0
        shares = {at: value / total for at, value in shares.items()} if is_known else {}
    weights = _complete(shares, images) if shares else []
    return Shares(weights, said[0].start, said[-1].end) if weights else None


def _amounts(text: str) -> list[Said]:
    found: list[Said] = []
    waiting: int | None = None  # "the left one, 80 %": the picture stands before its amount
    for start, clause in _clauses(text):
        named = next((i for i, pattern in enumerate(ORDINALS) if pattern.search(clause)), None)
        amount = _amount(clause, start, waiting if named is None else named)
        if amount is None:
            waiting = named
        elif not amount.is_bare or amount.picture is not None:
            found.append(amount)
            waiting = None
    return found


def _clauses(text: str) -> list[tuple[int, str]]:
    """Cut at commas and "and", and before every further amount: "70 first 30 second"."""
    ends = {m.end() for m in CLAUSE.finditer(text)}
    further = {m.start() for m in list(PERCENT.finditer(text))[1:] + list(LARGE.finditer(text))[1:]}
    cuts = sorted({0, len(text)} | ends | further)
    return [(a, text[a:b]) for a, b in pairwise(cuts)]


def _amount(clause: str, at: int, picture: int | None) -> Said | None:
    def said(match: re.Match[str], value: float, *, part: bool = False, bare: bool = False) -> Said:
        return Said(value, part, bare, picture, at + match.start(), at + match.end())

    if found := PERCENT.search(clause):
        return said(found, value_of(found[1]) / 100)
    for found in SHARE.finditer(clause):
        if value := _fraction(found):
            return said(found, value)
    if found := PART.search(clause):
        return said(found, value_of(found[1]), part=True)
    if found := DECIMAL.search(clause):
        return said(found, value_of(found[1]))
    for found in BARE.finditer(clause):
        if not NUMBERED.search(clause[: found.start()]):
            return said(found, value_of(found[1]), bare=True)
    return None


def _fraction(found: re.Match[str]) -> float:
    """Return the value of a fraction, or 0 for what is an ordinal or no share of a whole."""
    if found["under"]:
        over, under = int(found["over"]), int(found["under"])
        return over / under if 0 < over < under else 0.0
    if found["count"] is None and not IS_ALONE.fullmatch(found["part"]):
        return 0.0
    count = (found["count"] or "").lower()
    if count == "a" and found["part"].lower().endswith("s"):  # "a tercios" is Spanish, for each
        return 0.0
    over = WORDS.get(count, 1)
    under = DENOMINATORS[found["part"].lower()]
    return over / under if over < under else 0.0


def _complete(shares: dict[int, float], images: int) -> list[float]:
    """Give the rest to the pictures that were not named and scale to a sum of 1."""
    count = max(2, images, max(shares) + 1)
    rest = max(0.0, 1 - sum(shares.values()))
    unnamed = count - len(shares)
    weights = [shares.get(i, rest / unnamed if unnamed else 0.0) for i in range(count)]
    total = sum(weights)
    return [round(w / total, 4) for w in weights] if total > 0 else []
