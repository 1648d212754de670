"""Decline Russian nouns, adjectives and small numbers.

Cases are numbered nominative, accusative, genitive, instrumental, dative, prepositional.
"""

from dataclasses import dataclass

NOMINATIVE, ACCUSATIVE, GENITIVE, INSTRUMENTAL, DATIVE, PREPOSITIONAL = range(6)
CASES = 6


@dataclass(frozen=True)
class Noun:
    """A noun: gender (m, f, n) and six forms of singular and plural, separated by spaces."""

    gender: str
    singular: str
    plural: str

    @property
    def forms(self) -> list[str]:
        """The singular by case."""
        return self.singular.split()

    @property
    def plurals(self) -> list[str]:
        """The plural by case."""
        return self.plural.split()

    @property
    def is_animate(self) -> bool:
        """Whether the accusative plural is the genitive, as for a cat."""
        return self.plurals[ACCUSATIVE] == self.plurals[GENITIVE] != self.plurals[NOMINATIVE]


def masculine(
    stem: str, nominative: str = "", plural: str = "", many: str = "", animate: bool = False
) -> Noun:
    """Decline a hard noun such as круг; `many` is another stem of the plural."""
    first, many = nominative or stem, many or stem
    plural = plural or many + i_or_y(many)
    of_many = many + {"ц": "ев", "ч": "ей"}.get(many[-1], "ов")
    by = f"{stem}ем" if stem[-1] == "ц" else f"{stem}ом"
    accusative = (f"{stem}а", of_many) if animate else (first, plural)
    return Noun(
        "m",
        f"{first} {accusative[0]} {stem}а {by} {stem}у {stem}е",
        f"{plural} {accusative[1]} {of_many} {many}ами {many}ам {many}ах",
    )


def soft_masculine(stem: str, by: str = "ем", animate: bool = False) -> Noun:
    """Decline a noun such as автомобиль."""
    accusative = (f"{stem}я", f"{stem}ей") if animate else (f"{stem}ь", f"{stem}и")
    return Noun(
        "m",
        f"{stem}ь {accusative[0]} {stem}я {stem}{by} {stem}ю {stem}е",
        f"{stem}и {accusative[1]} {stem}ей {stem}ями {stem}ям {stem}ях",
    )


def feminine(stem: str, of_many: str, many: str = "", animate: bool = False) -> Noun:
    """Decline a hard noun such as звезда; `of_many` is the genitive plural."""
    many = many or stem
    ending = i_or_y(stem)
    by = f"{stem}ей" if stem[-1] in "цш" else f"{stem}ой"
    accusative = of_many if animate else many + ending
    return Noun(
        "f",
        f"{stem}а {stem}у {stem}{ending} {by} {stem}е {stem}е",
        f"{many}{ending} {accusative} {of_many} {many}ами {many}ам {many}ах",
    )


def neuter(stem: str, last: str, plural: str, of_many: str, many: str = "") -> Noun:
    """Decline a noun such as сердце."""
    many = many or stem
    return Noun(
        "n",
        f"{stem}{last} {stem}{last} {stem}а {stem}{last}м {stem}у {stem}е",
        f"{plural} {plural} {of_many} {many}ами {many}ам {many}ах",
    )


def i_or_y(stem: str) -> str:
    """Return the plural ending after a stem."""
    return "и" if stem[-1] in "гкхшч" else "ы"


ADJECTIVES = {
    "m": ("ый", "ый", "ого", "ым", "ому", "ом"),
    "f": ("ая", "ую", "ой", "ой", "ой", "ой"),
    "n": ("ое", "ое", "ого", "ым", "ому", "ом"),
    "plural": ("ые", "ые", "ых", "ыми", "ым", "ых"),
}
SOFTENED = {"ый": "ий", "ого": "его", "ым": "им", "ому": "ему", "ом": "ем", "ая": "яя"} | {
    "ую": "юю",
    "ой": "ей",
    "ое": "ее",
    "ые": "ие",
    "ых": "их",
    "ыми": "ими",
}
STRESSED = {"голуб", "больш", "небольш", "прост", "смешн"}
ONE = {
    "m": ["один", "один", "одного", "одним", "одному", "одном"],
    "f": ["одна", "одну", "одной", "одной", "одной", "одной"],
    "n": ["одно", "одно", "одного", "одним", "одному", "одном"],
}
NUMBERS = {
    2: ["два", "два", "двух", "двумя", "двум", "двух"],
    3: ["три", "три", "трёх", "тремя", "трём", "трёх"],
    4: ["четыре", "четыре", "четырёх", "четырьмя", "четырём", "четырёх"],
}


def decline(stem: str, gender: str, case: int, animate: bool = False) -> str:
    """Return an adjective in a gender (or "plural") and case."""
    if animate and case == ACCUSATIVE and gender in {"m", "plural"}:
        case = GENITIVE
    ending = ADJECTIVES[gender][case]
    if stem == "син" or (stem[-1] == "ж" and ending[0] == "о"):
        return stem + SOFTENED[ending]
    if stem in STRESSED and ending == "ый":
        ending = "ой"
    if stem[-1] in "гкхжш" and ending[0] == "ы":
        ending = f"и{ending[1:]}"
    return stem + ending
