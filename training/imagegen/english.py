"""Say a scene in English."""

import random

from training.imagegen.scenes import Item, Scene

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "disc", "disk"),
    "square": ("square", "square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "diamond": ("diamond", "diamond", "rhombus"),
    "house": ("house", "house", "home"),
    "tree": ("tree",),
    "flower": ("flower",),
    "face": ("face", "smiley", "smiley face", "smiling face"),
}
PLURALS = {"box": "boxes", "rhombus": "rhombuses"}
COLOURS: dict[str, tuple[str, ...]] = {
    "purple": ("purple", "purple", "violet"),
    "gray": ("gray", "grey"),
}
SIZES = {"big": ("big", "large", "huge"), "small": ("small", "little", "tiny")}
POSITIONS: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "at the left", "on the left side", "to the left", "left"),
    "right": ("on the right", "at the right", "on the right side", "to the right", "right"),
    "top": ("at the top", "on top", "in the upper part", "top"),
    "bottom": ("at the bottom", "on the bottom", "in the lower part", "bottom"),
    "centre": ("in the center", "in the centre", "in the middle", "centered"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "above": ("above", "above", "over", "on top of"),
    "below": ("below", "below", "under", "beneath", "underneath"),
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "beside": ("and", "and", "and", "next to", "beside", "with"),
}
NUMBERS = {2: ("two", "two", "2"), 3: ("three", "three", "3")}
BACKGROUNDS = (
    "{} on a {} background",
    "{} on a {} background",
    "{} on {} background",
    "{} on {}",
    "{} with a {} background",
    "{} against a {} background",
    "{}, {} background",
    "{} {} background",
)
REQUESTS = (
    ("draw", "draw", "draw", "draw me", "paint", "paint me", "make", "make me", "create")
    + ("generate", "show", "show me", "sketch", "give me", "i want", "i would like")
    + ("can you draw", "could you draw", "could you paint", "let's draw", "i need")
)
MEDIA = ("a picture of", "an image of", "a drawing of", "a photo of", "an illustration of")
ENDINGS = (
    ", high quality",
    ", best quality",
    ", masterpiece",
    ", 4k",
    ", highly detailed",
    " for me",
) + (", hd", " thanks", ", thank you", ", simple", ", cartoon", ", minimalist", " now")
PRAISE = ("beautiful", "nice", "cute", "simple", "pretty", "bright", "perfect", "single")


def say(scene: Scene, dice: random.Random, asked: bool) -> str:
    """Return a caption, as a request when asked."""
    body = subject(scene, dice)
    if scene.says_background:
        body = with_background(body, colour_word(scene.background, dice), dice)
    if not asked:
        return f"{dice.choice(MEDIA)} {body}" if dice.random() < 0.15 else body
    return request(body, dice)


def subject(scene: Scene, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.kind == "count":
        number = "" if dice.random() < 0.12 else f"{dice.choice(NUMBERS[len(scene.items)])} "
        return f"{number}{counted(first, dice)}"
    if scene.kind == "pair":
        words = dice.choice(RELATIONS[scene.relation])
        return f"{thing(first, scene, dice)} {words} {thing(scene.items[1], scene, dice)}"
    body = thing(first, scene, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def thing(item: Item, scene: Scene, dice: random.Random) -> str:
    """Name one item with its article, size and colour."""
    words = [dice.choice(SIZES[scene.size])] if scene.size else []
    words += [dice.choice(PRAISE)] if dice.random() < 0.07 else []
    noun = dice.choice(NOUNS[item.kind])
    colour = colour_word(item.colour, dice)
    if not scene.says_colour:
        return article(" ".join([*words, noun]), dice)
    if dice.random() < 0.04:
        return article(" ".join([*words, noun, "in", colour]), dice)
    return article(" ".join([*words, colour, noun]), dice)


def counted(item: Item, dice: random.Random) -> str:
    """Name several equal items."""
    noun = dice.choice(NOUNS[item.kind])
    return f"{colour_word(item.colour, dice)} {PLURALS.get(noun, noun + 's')}"


def colour_word(colour: str, dice: random.Random) -> str:
    """Return a word for a colour."""
    return dice.choice(COLOURS.get(colour, (colour,)))


def article(words: str, dice: random.Random) -> str:
    """Put a, the or nothing in front."""
    if dice.random() < 0.25:
        return words
    if dice.random() < 0.08:
        return f"the {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def with_background(body: str, colour: str, dice: random.Random) -> str:
    """Add the background, now and then in front."""
    if dice.random() < 0.08:
        return f"{colour} background with {body}"
    said = dice.choice(BACKGROUNDS).format(body, colour)
    return said.replace(" a orange", " an orange")


def request(body: str, dice: random.Random) -> str:
    """Wrap a caption in a verb, politeness and style words."""
    medium = f"{dice.choice(MEDIA)} " if dice.random() < 0.25 else ""
    text = f"{dice.choice(REQUESTS)} {medium}{body}"
    if dice.random() < 0.2:
        text = f"please {text}" if dice.random() < 0.6 else f"{text} please"
    if dice.random() < 0.15:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
