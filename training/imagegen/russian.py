"""Say a scene in Russian; nouns and adjectives take the case that the sentence asks for."""

import random
from dataclasses import dataclass

from training.imagegen.scenes import Item, Scene

# Every table below has the cases in this order: nominative, accusative, genitive, instrumental;
# the background's third form is the locative, as in "на синем фоне".


@dataclass(frozen=True)
class Noun:
    """A noun: gender (m, f, n) and its forms by case."""

    gender: str
    forms: tuple[str, str, str, str]
    plural: str = ""


def masculine(stem: str) -> Noun:
    """Decline a hard masculine noun such as круг."""
    plural = f"{stem}и" if stem[-1] in "гк" else f"{stem}ы"
    return Noun("m", (stem, stem, f"{stem}а", f"{stem}ом"), plural)


NOUNS: dict[str, tuple[Noun, ...]] = {
    "circle": (
        *(masculine("круг"),) * 3,
        Noun("m", ("кружок", "кружок", "кружка", "кружком"), "кружки"),
        masculine("диск"),
    ),
    "square": (
        *(masculine("квадрат"),) * 3,
        masculine("квадратик"),
    ),
    "triangle": (masculine("треугольник"),),
    "star": (
        *(Noun("f", ("звезда", "звезду", "звезды", "звездой"), "звёзды"),) * 2,
        Noun("f", ("звезда", "звезду", "звезды", "звездой"), "звезды"),
        Noun("f", ("звёздочка", "звёздочку", "звёздочки", "звёздочкой"), "звёздочки"),
        Noun("f", ("звездочка", "звездочку", "звездочки", "звездочкой"), "звездочки"),
    ),
    "heart": (
        *(Noun("n", ("сердце", "сердце", "сердца", "сердцем"), "сердца"),) * 3,
        Noun("n", ("сердечко", "сердечко", "сердечка", "сердечком"), "сердечки"),
    ),
    "diamond": (masculine("ромб"),),
    "house": (*(masculine("дом"),) * 2, masculine("домик")),
    "tree": (Noun("n", ("дерево", "дерево", "дерева", "деревом")),),
    "flower": (
        *(Noun("m", ("цветок", "цветок", "цветка", "цветком")),) * 2,
        Noun("m", ("цветочек", "цветочек", "цветочка", "цветочком")),
    ),
    "face": (
        Noun("n", ("лицо", "лицо", "лица", "лицом")),
        masculine("смайлик"),
    ),
}
HARD = {
    "m": ("ый", "ый", "ого", "ым"),
    "f": ("ая", "ую", "ой", "ой"),
    "n": ("ое", "ое", "ого", "ым"),
    "background": ("ый", "ый", "ом", "ым"),
    "many": ("ых", "ых", "ых", "ых"),
    "few": ("ые", "ые", "ых", "ых"),
}
SOFT = {
    "m": ("ий", "ий", "его", "им"),
    "f": ("яя", "юю", "ей", "ей"),
    "n": ("ее", "ее", "его", "им"),
    "background": ("ий", "ий", "ем", "им"),
    "many": ("их", "их", "их", "их"),
    "few": ("ие", "ие", "их", "их"),
}
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("красн",),
    "orange": ("оранжев",),
    "yellow": ("жёлт", "желт"),
    "green": ("зелён", "зелен"),
    "blue": ("син", "син", "син", "голуб"),
    "purple": ("фиолетов",),
    "pink": ("розов",),
    "black": ("чёрн", "черн"),
    "white": ("бел",),
    "gray": ("сер",),
}
SIZES = {"big": ("больш", "больш", "огромн"), "small": ("маленьк", "маленьк", "небольш")}
POSITIONS: dict[str, tuple[str, ...]] = {
    "left": ("слева", "слева", "в левой части", "с левой стороны"),
    "right": ("справа", "справа", "в правой части", "с правой стороны"),
    "top": ("сверху", "вверху", "наверху", "в верхней части"),
    "bottom": ("снизу", "внизу", "в нижней части"),
    "centre": ("в центре", "посередине", "по центру", "в середине"),
}
# Preposition and the case that it governs; None keeps the case of the first noun.
RELATIONS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "above": (("над", 3), ("над", 3), ("выше", 2), ("сверху от", 2)),
    "below": (("под", 3), ("под", 3), ("ниже", 2), ("снизу от", 2)),
    "left of": (("слева от", 2), ("слева от", 2), ("левее", 2)),
    "right of": (("справа от", 2), ("справа от", 2), ("правее", 2)),
    "beside": (("и", None), ("и", None), ("и", None), ("рядом с", 3), ("возле", 2)),
}
NUMBERS = {2: ("два", "два", "2"), 3: ("три", "три", "3")}
# A request and the case of what follows.
REQUESTS = (
    *("нарисуй", "нарисуй", "нарисуй", "нарисуйте", "нарисуй мне", "изобрази", "покажи"),
    *("покажи мне", "сделай", "создай", "сгенерируй", "хочу", "мне нужен", "нужна"),
    *("можешь нарисовать", "нарисовать", "можно", "дай", "давай нарисуем"),
)
MEDIA = (
    *(("картинку с", 3), ("изображение", 2), ("рисунок", 2), ("картинку", 2), ("рисунок с", 3)),
    ("фото", 2),
)
BARE_MEDIA = (("картинка с", 3), ("картинка", 2), ("изображение", 2), ("рисунок", 2), ("фото", 2))
ENDINGS = (
    *(", высокое качество", ", хорошее качество", ", 4k", " для меня", ", спасибо", " спасибо"),
    *(", шедевр", ", детально", ", hd", ", просто", " сейчас"),
)
PRAISE = ("красив", "мил", "прост", "ярк")


def say(scene: Scene, dice: random.Random, asked: bool) -> str:
    """Return a caption, as a request when asked."""
    front, case = frame(scene, dice, asked)
    body = subject(scene, case, dice)
    if scene.says_background:
        body = background(body, dice.choice(COLOURS[scene.background]), dice, bare=not front)
    text = f"{front} {body}" if front else body
    return polite(text, dice) if asked else text


def frame(scene: Scene, dice: random.Random, asked: bool) -> tuple[str, int]:
    """Choose how the sentence starts and the case that follows."""
    if not asked:
        bare = scene.kind == "count" or dice.random() < 0.8
        return ("", 0) if bare else dice.choice(BARE_MEDIA)
    verb = dice.choice(REQUESTS)
    if scene.kind != "count" and dice.random() < 0.25:
        medium, case = dice.choice(MEDIA)
        return f"{verb} {medium}", case
    return verb, 1


def subject(scene: Scene, case: int, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.kind == "count":
        return counted(first, len(scene.items), dice)
    if scene.kind == "pair":
        words, governed = dice.choice(RELATIONS[scene.relation])
        second = case if governed is None else governed
        return f"{thing(first, scene, case, dice)} {words} {thing(scene.items[1], scene, second, dice)}"
    body = thing(first, scene, case, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def thing(item: Item, scene: Scene, case: int, dice: random.Random) -> str:
    """Name one item with its size and colour in a case."""
    noun = dice.choice(NOUNS[item.kind])
    words = [noun.forms[case]]
    if scene.says_colour:
        colour = dice.choice(COLOURS[item.colour])
        if dice.random() < 0.06:
            words.append(f"{decline(colour, 'm', 2)} цвета")
        else:
            words.insert(0, decline(colour, noun.gender, case))
    if scene.size:
        words.insert(0, decline(dice.choice(SIZES[scene.size]), noun.gender, case))
    if dice.random() < 0.06:
        words.insert(0, decline(dice.choice(PRAISE), noun.gender, case))
    return " ".join(words)


def counted(item: Item, number: int, dice: random.Random) -> str:
    """Name two or three equal items: два красных круга, две красные звезды."""
    noun = dice.choice(NOUNS[item.kind])
    colour = dice.choice(COLOURS[item.colour])
    if dice.random() < 0.12:
        return f"{decline(colour, 'few', 0)} {noun.plural}"
    word = dice.choice(NUMBERS[number])
    if noun.gender == "f":
        word = "две" if word == "два" else word
    ending = "few" if noun.gender == "f" and dice.random() < 0.6 else "many"
    return f"{word} {decline(colour, ending, 0)} {noun.forms[2]}"


def decline(stem: str, gender: str, case: int) -> str:
    """Return an adjective; г, к, х and ш take и for ы, and some are stressed at the end."""
    ending = (SOFT if stem == "син" else HARD)[gender][case]
    if stem in {"голуб", "больш", "небольш", "прост"} and ending == "ый":
        ending = "ой"
    if stem[-1] in "гкхш" and ending[0] == "ы":
        ending = f"и{ending[1:]}"
    return stem + ending


def background(body: str, stem: str, dice: random.Random, bare: bool) -> str:
    """Add the background; in front only when nothing governs the sentence."""
    on, plain = decline(stem, "background", 2), decline(stem, "background", 0)
    if bare and dice.random() < 0.12:
        return f"на {on} фоне {body}"
    if dice.random() < 0.75:
        return f"{body} на {on} фоне"
    whole = decline(stem, "background", 3)
    tails = (f" на {on}", f", {plain} фон", f" {plain} фон", f", фон {plain}", f" с {whole} фоном")
    return body + dice.choice(tails)


def polite(text: str, dice: random.Random) -> str:
    """Add politeness and style words."""
    if dice.random() < 0.2:
        text = f"пожалуйста {text}" if dice.random() < 0.5 else f"{text} пожалуйста"
    if dice.random() < 0.15:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
