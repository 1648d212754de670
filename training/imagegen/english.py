"""Say a scene in English."""

import random

from training.imagegen.scenes import Item, Scene

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "circle", "disc", "disk", "ball"),
    "square": ("square", "square", "square", "box", "cube"),
    "triangle": ("triangle",),
    "star": ("star",),
    "heart": ("heart",),
    "diamond": ("diamond", "diamond", "rhombus"),
    "rectangle": ("rectangle",),
    "cross": ("cross", "cross", "plus", "plus sign"),
    "house": ("house", "house", "home", "cottage", "hut"),
    "tree": ("tree",),
    "flower": ("flower", "flower", "rose", "daisy"),
    "face": ("face", "smiley", "smiley face", "smiling face", "happy face"),
    "sun": ("sun",),
    "moon": ("moon", "moon", "moon", "crescent", "crescent moon"),
    "boat": ("boat", "boat", "ship", "sailboat"),
    "car": ("car", "car", "car", "automobile"),
    "cat": ("cat", "cat", "cat", "kitten", "kitty"),
    "robot": ("robot",),
    "mountain": ("mountain", "mountain", "hill"),
    "fish": ("fish",),
}
# Words for what the model cannot draw; it learns to give the nearest thing.
NEAR: dict[str, tuple[str, ...]] = {
    "circle": ("oval", "ellipse", "ring", "planet", "apple", "coin"),
    "rectangle": ("door", "book", "table", "flag", "phone"),
    "square": ("window", "gift", "cake"),
    "triangle": ("pyramid", "arrow", "pizza"),
    "star": ("snowflake", "spark"),
    "house": ("building", "castle", "church", "tower", "city", "village", "barn", "school"),
    "tree": ("forest", "bush", "pine", "palm", "oak", "plant"),
    "flower": ("tulip", "sunflower", "lily", "butterfly", "bouquet"),
    "face": ("man", "woman", "girl", "boy", "person", "child", "head", "people", "baby"),
    "boat": ("yacht", "vessel", "pirate"),
    "car": ("truck", "bus", "taxi", "train", "bicycle", "motorcycle", "van"),
    "cat": ("dog", "puppy", "lion", "tiger", "fox", "bear", "rabbit", "wolf", "horse", "animal"),
    "robot": ("android", "machine", "astronaut", "monster", "computer", "alien"),
    "mountain": ("volcano", "peak", "rock"),
    "fish": ("shark", "whale", "dolphin", "bird"),
}
NEAR_SHARE = 0.07
PLURALS = {
    "box": "boxes",
    "rhombus": "rhombuses",
    "cross": "crosses",
    "plus": "pluses",
    "daisy": "daisies",
    "kitty": "kitties",
    "fish": "fish",
}
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
NUMBERS = {2: ("two", "two", "2"), 3: ("three", "three", "3"), 4: ("four", "four", "4")}
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
DAY = (
    "in the sky",
    "on a sunny day",
    "in the daytime",
    "by day",
    "under a blue sky",
    "with clouds",
)
NIGHT = ("at night", "at night", "in the night", "in the night sky", "under the stars")
SCENERIES: dict[str, tuple[str, ...]] = {
    "day": (*DAY, "day background", "sky background"),
    "night": (*NIGHT, "on a starry night", "in the dark", "night background"),
    "sea": ("on the sea", "in the sea", "at sea", "by the sea", "on the water", "in the ocean")
    + ("on the ocean", "on the waves", "in the water", "sea background"),
    "grass": ("on the grass", "on the grass", "in a meadow", "in a field", "on a lawn")
    + ("in the garden", "on green grass", "grass background"),
    "snow": ("in the snow", "on the snow", "in winter", "on a snowy day", "snow background"),
}
ALONE: dict[str, tuple[str, ...]] = {
    "day": ("the sky", "a blue sky", "clouds", "a sunny day", "a cloudy sky", "the sky by day"),
    "night": ("the night sky", "a night sky", "the night", "a starry night", "stars at night"),
    "sea": ("the sea", "the ocean", "a sea", "a lake", "waves", "water", "a beach"),
    "grass": ("grass", "a meadow", "a field", "a lawn", "a green field", "a landscape"),
    "snow": ("snow", "the snow", "winter", "a snowy field", "a winter landscape"),
}
REQUESTS = (
    ("draw", "draw", "draw", "draw me", "paint", "paint me", "make", "make me", "create")
    + ("generate", "show", "show me", "sketch", "give me", "i want", "i would like")
    + ("can you draw", "could you draw", "could you paint", "let's draw", "i need")
)
MEDIA = ("a picture of", "an image of", "a drawing of", "a photo of", "an illustration of")
ENDINGS = (
    (", high quality", ", best quality", ", masterpiece", ", 4k", ", highly detailed", " for me")
    + (", hd", " thanks", ", thank you", ", simple", ", cartoon", ", minimalist", " now")
    + (", 8k", ", realistic", ", beautiful", ", digital art", ", cute")
)
PRAISE = ("beautiful", "nice", "cute", "simple", "pretty", "bright", "perfect", "single") + (
    "happy",
    "funny",
    "fluffy",
    "old",
    "new",
    "lovely",
)


def say(scene: Scene, dice: random.Random, asked: bool) -> str:
    """Return a caption, as a request when asked."""
    if scene.kind == "scenery":
        body = alone(scene.background, dice)
    else:
        body = subject(scene, dice)
        if scene.says_background:
            body = with_background(body, scene.background, dice)
    if not asked:
        return f"{dice.choice(MEDIA)} {body}" if dice.random() < 0.15 else body
    return request(body, dice)


def alone(background: str, dice: random.Random) -> str:
    """Name a scenery that is all there is."""
    night, _, ground = background.rpartition(" ")
    return dice.choice(ALONE[ground]) + (" at night" if night else "")


def subject(scene: Scene, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.relation:
        words = dice.choice(RELATIONS[scene.relation])
        return f"{thing(first, scene, dice)} {words} {thing(scene.items[1], scene, dice)}"
    if len(scene.items) > 1:
        number = "" if dice.random() < 0.08 else f"{dice.choice(NUMBERS[len(scene.items)])} "
        return f"{number}{counted(first, dice)}"
    body = thing(first, scene, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def thing(item: Item, scene: Scene, dice: random.Random) -> str:
    """Name one item with its article, size and colour."""
    words = [dice.choice(SIZES[scene.size])] if scene.size else []
    words += [dice.choice(PRAISE)] if dice.random() < 0.07 else []
    noun = noun_for(item.kind, dice)
    colour = colour_word(item.colour, dice)
    if not scene.says_colour:
        return article(" ".join([*words, noun]), dice)
    if dice.random() < 0.04:
        return article(" ".join([*words, noun, "in", colour]), dice)
    return article(" ".join([*words, colour, noun]), dice)


def noun_for(kind: str, dice: random.Random) -> str:
    """Return a word for a thing, now and then for one that only resembles it."""
    near = kind in NEAR and dice.random() < NEAR_SHARE
    return dice.choice(NEAR[kind] if near else NOUNS[kind])


def counted(item: Item, dice: random.Random) -> str:
    """Name several equal items."""
    return f"{colour_word(item.colour, dice)} {plural(dice.choice(NOUNS[item.kind]))}"


def plural(noun: str) -> str:
    """Return a noun's plural; of several words, the last one's."""
    *before, last = noun.split(" ")
    return " ".join([*before, PLURALS.get(last, last + "s")])


def colour_word(colour: str, dice: random.Random) -> str:
    """Return a word for a colour."""
    return dice.choice(COLOURS.get(colour, (colour,)))


def article(words: str, dice: random.Random) -> str:
    """Put a, one, the or nothing in front."""
    chance = dice.random()
    if chance < 0.24:
        return words
    if chance < 0.3:
        return f"the {words}"
    if chance < 0.34:
        return f"{dice.choice(('one', '1'))} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def with_background(body: str, background: str, dice: random.Random) -> str:
    """Add the background, now and then in front."""
    night, _, ground = background.rpartition(" ")
    if ground in SCENERIES:
        words = [dice.choice(SCENERIES[ground])] + ([dice.choice(NIGHT[:3])] if night else [])
        dice.shuffle(words)
        said = " ".join(words)
        return f"{said} {body}" if dice.random() < 0.08 else f"{body} {said}"
    colour = colour_word(background, dice)
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
    if dice.random() < 0.2:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
