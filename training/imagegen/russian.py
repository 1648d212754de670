"""Say a scene in Russian; nouns and adjectives take the case that the sentence asks for."""

import random
import re

from training.imagegen.declension import (
    ACCUSATIVE,
    DATIVE,
    GENITIVE,
    INSTRUMENTAL,
    NOMINATIVE,
    NUMBERS,
    ONE,
    PREPOSITIONAL,
    decline,
)
from training.imagegen.russian_words import NEAR, NOUNS
from training.imagegen.scenes import Item, Scene

NEAR_SHARE = 0.07
PLAIN_LETTER_SHARE = 0.3  # of captions spell ё as е
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("красн",),
    "orange": ("оранжев", "оранжев", "рыж"),
    "yellow": ("жёлт",),
    "green": ("зелён",),
    "blue": ("син", "син", "син", "голуб"),
    "purple": ("фиолетов", "фиолетов", "лилов"),
    "pink": ("розов",),
    "black": ("чёрн",),
    "white": ("бел",),
    "gray": ("сер",),
}
SIZES = {"big": ("больш", "больш", "огромн", "крупн"), "small": ("маленьк", "маленьк", "небольш")}
POSITIONS: dict[str, tuple[str, ...]] = {
    "left": ("слева", "слева", "в левой части", "с левой стороны"),
    "right": ("справа", "справа", "в правой части", "с правой стороны"),
    "top": ("сверху", "вверху", "наверху", "в верхней части"),
    "bottom": ("снизу", "внизу", "в нижней части"),
    "centre": ("в центре", "по центру", "посередине", "в середине"),
}
# Preposition and the case that it governs; None keeps the case of the first noun.
RELATIONS: dict[str, tuple[tuple[str, int | None], ...]] = {
    "above": (
        *(("над", INSTRUMENTAL),) * 3,
        *(("выше", GENITIVE), ("сверху от", GENITIVE), ("на", PREPOSITIONAL)),
    ),
    "below": (
        *(("под", INSTRUMENTAL),) * 3,
        *(("ниже", GENITIVE), ("снизу от", GENITIVE)),
    ),
    "left of": (*(("слева от", GENITIVE),) * 2, ("левее", GENITIVE)),
    "right of": (*(("справа от", GENITIVE),) * 2, ("правее", GENITIVE)),
    "beside": (
        *(("и", None),) * 5,
        *(("рядом с", INSTRUMENTAL), ("возле", GENITIVE), ("около", GENITIVE)),
        *(("ближе к", DATIVE), ("с", INSTRUMENTAL), ("и", None)),
    ),
}
NIGHT = ("ночью", "ночью", "в ночи", "по ночам")
SCENERIES: dict[str, tuple[str, ...]] = {
    "day": ("днём", "днём", "в небе", "на небе", "на голубом небе", "в солнечный день")
    + ("под голубым небом", "на фоне неба", "с облаками"),
    "night": ("ночью", "ночью", "в ночи", "в ночном небе", "на ночном небе", "под звёздами")
    + ("звёздной ночью", "на фоне ночного неба", "в темноте"),
    "sea": ("на море", "на море", "в море", "у моря", "на воде", "в океане", "на волнах")
    + ("в воде", "на фоне моря"),
    "grass": ("на траве", "на траве", "в траве", "на лугу", "в поле", "на лужайке")
    + ("на поляне", "в саду", "на газоне", "на зелёной траве"),
    "snow": ("на снегу", "на снегу", "в снегу", "зимой", "на снежном поле", "на фоне снега"),
}
# Nominative and accusative.
ALONE: dict[str, tuple[tuple[str, str], ...]] = {
    "day": (("небо", "небо"), ("голубое небо", "голубое небо"), ("облака", "облака"))
    + (("солнечный день", "солнечный день"), ("день", "день")),
    "night": (("ночь", "ночь"), ("ночное небо", "ночное небо"), ("звёздное небо", "звёздное небо"))
    + (("звёздная ночь", "звёздную ночь"),),
    "sea": (("море", "море"), ("океан", "океан"), ("вода", "воду"), ("озеро", "озеро"))
    + (("волны", "волны"), ("пляж", "пляж"), ("река", "реку")),
    "grass": (("трава", "траву"), ("луг", "луг"), ("поле", "поле"), ("поляна", "поляну"))
    + (("лужайка", "лужайку"), ("пейзаж", "пейзаж")),
    "snow": (("снег", "снег"), ("зима", "зиму"), ("снежное поле", "снежное поле"))
    + (("зимний пейзаж", "зимний пейзаж"),),
}
REQUESTS = (
    *("нарисуй", "нарисуй", "нарисуй", "нарисуйте", "нарисуй мне", "изобрази", "покажи"),
    *("покажи мне", "сделай", "создай", "сгенерируй", "хочу", "мне нужен", "нужна"),
    *("можешь нарисовать", "нарисовать", "можно", "дай", "давай нарисуем", "мне нужно"),
)
# A medium and the case of what follows; first as the object of a verb, then alone.
MEDIA = (
    *(("картинку с", INSTRUMENTAL), ("изображение", GENITIVE), ("рисунок", GENITIVE)),
    *(("картинку", GENITIVE), ("рисунок с", INSTRUMENTAL), ("фото", GENITIVE)),
    *(("картинку о", PREPOSITIONAL), ("рисунок, посвящённый", DATIVE)),
)
BARE_MEDIA = (
    *(("картинка с", INSTRUMENTAL), ("картинка", GENITIVE), ("изображение", GENITIVE)),
    *(("рисунок", GENITIVE), ("фото", GENITIVE), ("картинка о", PREPOSITIONAL)),
    ("рисунок, посвящённый", DATIVE),
)
ENDINGS = (
    *(", высокое качество", ", хорошее качество", ", 4k", " для меня", ", спасибо", " спасибо"),
    *(", шедевр", ", детально", ", hd", ", просто", " сейчас", ", 8k", ", реалистично"),
    *(", красиво", ", мультяшный стиль"),
)
PRAISE = ("красив", "мил", "прост", "ярк", "стар", "нов", "весёл", "добр", "смешн", "пушист")


def say(scene: Scene, dice: random.Random, asked: bool) -> str:
    """Return a caption, as a request when asked."""
    front, case = frame(scene, dice, asked)
    if scene.kind == "scenery":
        body = alone(scene.background, case, dice)
    else:
        body = subject(scene, case, dice)
        if scene.says_background:
            body = with_background(body, scene.background, dice, bare=not front)
    text = f"{front} {body}" if front else body
    text = spelt(polite(text, dice) if asked else text)
    return text.replace("ё", "е") if dice.random() < PLAIN_LETTER_SHARE else text


def spelt(text: str) -> str:
    """Lengthen о and с where the next word begins awkwardly."""
    text = re.sub(r"\bо (?=[аоэиу])", "об ", text)
    return re.sub(r"\bс (?=зв|сн|ст)", "со ", text)


def frame(scene: Scene, dice: random.Random, asked: bool) -> tuple[str, int]:
    """Choose how the sentence starts and the case that follows."""
    if scene.kind == "scenery":
        return (dice.choice(REQUESTS[:11]), ACCUSATIVE) if asked else ("", NOMINATIVE)
    if not asked:
        return ("", NOMINATIVE) if dice.random() < 0.8 else dice.choice(BARE_MEDIA)
    verb = dice.choice(REQUESTS)
    if dice.random() < 0.25:
        medium, case = dice.choice(MEDIA)
        return f"{verb} {medium}", case
    return verb, NOMINATIVE if "нуж" in verb else ACCUSATIVE


def alone(background: str, case: int, dice: random.Random) -> str:
    """Name a scenery that is all there is."""
    night, _, ground = background.rpartition(" ")
    return dice.choice(ALONE[ground])[case] + (" ночью" if night else "")


def subject(scene: Scene, case: int, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.relation:
        words, governed = dice.choice(RELATIONS[scene.relation])
        second = thing(scene.items[1], scene, case if governed is None else governed, dice)
        return f"{thing(first, scene, case, dice)} {words} {second}"
    if len(scene.items) > 1:
        return counted(first, len(scene.items), case, dice)
    body = thing(first, scene, case, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def thing(item: Item, scene: Scene, case: int, dice: random.Random) -> str:
    """Name one item with its size and colour in a case."""
    near = item.kind in NEAR and dice.random() < NEAR_SHARE
    noun = dice.choice((NEAR if near else NOUNS)[item.kind])
    animate = noun.gender == "m" and noun.forms[ACCUSATIVE] != noun.forms[NOMINATIVE]
    words = [noun.forms[case]]
    if scene.says_colour:
        colour = dice.choice(COLOURS[item.colour])
        if dice.random() < 0.06:
            words.append(f"{decline(colour, 'm', GENITIVE)} цвета")
        else:
            words.insert(0, decline(colour, noun.gender, case, animate))
    if scene.size:
        size = dice.choice(SIZES[scene.size])
        words.insert(0, decline(size, noun.gender, case, animate))
    if dice.random() < 0.06:
        words.insert(0, decline(dice.choice(PRAISE), noun.gender, case, animate))
    if dice.random() < 0.04:
        one = ONE[noun.gender][GENITIVE if animate and case == ACCUSATIVE else case]
        words.insert(0, one if dice.random() < 0.7 else "1")
    return " ".join(words)


def counted(item: Item, number: int, case: int, dice: random.Random) -> str:
    """Name two to four equal items: два красных круга, с двумя красными кругами."""
    noun = dice.choice(NOUNS[item.kind])
    colour = dice.choice(COLOURS[item.colour])
    if dice.random() < 0.1:
        return f"{decline(colour, 'plural', case, noun.is_animate)} {noun.plurals[case]}"
    if noun.is_animate and case == ACCUSATIVE and dice.random() < 0.6:
        case = GENITIVE
    if case in {NOMINATIVE, ACCUSATIVE}:
        word = "две" if number == 2 and noun.gender == "f" else NUMBERS[number][case]
        ending = NOMINATIVE if noun.gender == "f" and dice.random() < 0.6 else GENITIVE
        adjective, form = decline(colour, "plural", ending), noun.forms[GENITIVE]
    else:
        word = NUMBERS[number][case]
        adjective, form = decline(colour, "plural", case), noun.plurals[case]
    return f"{word if dice.random() < 0.75 else number} {adjective} {form}"


def with_background(body: str, background: str, dice: random.Random, bare: bool) -> str:
    """Add the background; in front only when nothing governs the sentence."""
    night, _, ground = background.rpartition(" ")
    if ground in SCENERIES:
        words = [dice.choice(SCENERIES[ground])] + ([dice.choice(NIGHT)] if night else [])
        dice.shuffle(words)
        said = " ".join(words)
        return f"{said} {body}" if bare and dice.random() < 0.12 else f"{body} {said}"
    stem = dice.choice(COLOURS[background])
    on = decline(stem, "m", PREPOSITIONAL)
    if bare and dice.random() < 0.12:
        return f"на {on} фоне {body}"
    if dice.random() < 0.75:
        return f"{body} на {on} фоне"
    plain, whole = decline(stem, "m", NOMINATIVE), decline(stem, "m", INSTRUMENTAL)
    tails = (f" на {on}", f", {plain} фон", f" {plain} фон", f", фон {plain}", f" с {whole} фоном")
    return body + dice.choice(tails)


def polite(text: str, dice: random.Random) -> str:
    """Add politeness and style words."""
    if dice.random() < 0.2:
        text = f"пожалуйста {text}" if dice.random() < 0.5 else f"{text} пожалуйста"
    if dice.random() < 0.2:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
