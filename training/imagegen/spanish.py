"""Say a scene in Spanish; adjectives agree in gender and number."""

import random

from training.imagegen.scenes import Item, Scene

# Each noun: singular, plural, and whether it is feminine.
Noun = tuple[str, str, bool]
NOUNS: dict[str, tuple[Noun, ...]] = {
    "circle": (
        ("círculo", "círculos", False),
        ("círculo", "círculos", False),
        ("circulo", "circulos", False),
        ("disco", "discos", False),
    ),
    "square": (("cuadrado", "cuadrados", False),),
    "triangle": (
        ("triángulo", "triángulos", False),
        ("triángulo", "triángulos", False),
        ("triangulo", "triangulos", False),
    ),
    "star": (("estrella", "estrellas", True),),
    "heart": (("corazón", "corazones", False), ("corazon", "corazones", False)),
    "diamond": (("rombo", "rombos", False), ("diamante", "diamantes", False)),
    "house": (("casa", "casas", True), ("casa", "casas", True), ("casita", "casitas", True)),
    "tree": (("árbol", "árboles", False), ("arbol", "arboles", False)),
    "flower": (("flor", "flores", True),),
    "face": (
        ("cara", "caras", True),
        ("cara sonriente", "caras sonrientes", True),
        ("carita", "caritas", True),
        ("rostro", "rostros", False),
    ),
}
# Masculine singular forms; `agree` makes the others.
COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("rojo",),
    "orange": ("naranja", "naranja", "anaranjado"),
    "yellow": ("amarillo",),
    "green": ("verde",),
    "blue": ("azul",),
    "purple": ("morado", "morado", "violeta", "púrpura"),
    "pink": ("rosa", "rosa", "rosado"),
    "black": ("negro",),
    "white": ("blanco",),
    "gray": ("gris",),
}
SIZES = {"big": ("grande", "enorme"), "small": ("pequeño", "pequeño", "chico")}
POSITIONS: dict[str, tuple[str, ...]] = {
    "left": ("a la izquierda", "en la izquierda", "en el lado izquierdo", "izquierda"),
    "right": ("a la derecha", "en la derecha", "en el lado derecho", "derecha"),
    "top": ("arriba", "en la parte superior", "en la parte de arriba"),
    "bottom": ("abajo", "en la parte inferior", "en la parte de abajo"),
    "centre": ("en el centro", "en el medio", "al centro"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "above": ("encima de", "encima de", "sobre", "arriba de", "por encima de"),
    "below": ("debajo de", "debajo de", "bajo", "abajo de", "por debajo de"),
    "left of": ("a la izquierda de", "a la izquierda de", "al lado izquierdo de"),
    "right of": ("a la derecha de", "a la derecha de", "al lado derecho de"),
    "beside": ("y", "y", "y", "junto a", "al lado de", "con"),
}
NUMBERS = {2: ("dos", "dos", "2"), 3: ("tres", "tres", "3")}
BACKGROUNDS = (
    "{} sobre un fondo {}",
    "{} sobre fondo {}",
    "{} en un fondo {}",
    "{} en fondo {}",
    "{} con fondo {}",
    "{} con un fondo {}",
    "{}, fondo {}",
    "{} fondo {}",
)
REQUESTS = (
    ("dibuja", "dibuja", "dibuja", "dibújame", "dibujame", "pinta", "píntame", "haz", "hazme")
    + ("crea", "genera", "muestra", "muéstrame", "quiero", "dame", "necesito", "quisiera")
    + ("puedes dibujar", "podrías dibujar", "dibuje", "dibujar", "me gustaría")
)
MEDIA = ("una imagen de", "un dibujo de", "una foto de", "una ilustración de", "una imagen con")
ENDINGS = (
    ", alta calidad",
    ", buena calidad",
    ", 4k",
    ", muy detallado",
    " para mí",
    ", gracias",
) + (" gracias", ", obra maestra", ", hd", ", simple", " ahora")
PRAISE = ("bonito", "lindo", "hermoso", "simple", "perfecto")


def say(scene: Scene, dice: random.Random, asked: bool) -> str:
    """Return a caption, as a request when asked."""
    body = subject(scene, dice)
    if scene.says_background:
        colour = dice.choice(COLOURS[scene.background])
        front = dice.random() < 0.08
        body = f"fondo {colour} con {body}" if front else background(body, colour, dice)
    if not asked:
        return f"{dice.choice(MEDIA)} {body}" if dice.random() < 0.15 else body
    return request(body, dice)


def background(body: str, colour: str, dice: random.Random) -> str:
    """Add the background behind the caption."""
    return dice.choice(BACKGROUNDS).format(body, colour)


def subject(scene: Scene, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.kind == "count":
        noun = dice.choice(NOUNS[first.kind])
        colour = agree(dice.choice(COLOURS[first.colour]), noun[2], plural=True)
        number = "" if dice.random() < 0.12 else f"{dice.choice(NUMBERS[len(scene.items)])} "
        return f"{number}{noun[1]} {colour}"
    if scene.kind == "pair":
        words = dice.choice(RELATIONS[scene.relation])
        second = thing(scene.items[1], scene, dice)
        return f"{thing(first, scene, dice)} {words} {second}".replace(" de el ", " del ")
    body = thing(first, scene, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def thing(item: Item, scene: Scene, dice: random.Random) -> str:
    """Name one item with its article, colour and size."""
    singular, _, feminine = dice.choice(NOUNS[item.kind])
    words = [singular]
    if scene.says_colour:
        colour = dice.choice(COLOURS[item.colour])
        plain = f"de color {colour}" if dice.random() < 0.08 else agree(colour, feminine)
        words.append(plain)
    if scene.size:
        place = 0 if dice.random() < 0.2 and scene.size == "small" else len(words)
        words.insert(place, agree(dice.choice(SIZES[scene.size]), feminine))
    if dice.random() < 0.06:
        words.append(agree(dice.choice(PRAISE), feminine))
    return article(" ".join(words), feminine, dice)


def article(words: str, feminine: bool, dice: random.Random) -> str:
    """Put un(a), el/la or nothing in front."""
    if dice.random() < 0.25:
        return words
    if dice.random() < 0.08:
        return f"{'la' if feminine else 'el'} {words}"
    return f"{'una' if feminine else 'un'} {words}"


def agree(adjective: str, feminine: bool, plural: bool = False) -> str:
    """Return the form of an adjective for a noun's gender and number."""
    if adjective.endswith("o") and feminine:
        adjective = f"{adjective[:-1]}a"
    if not plural:
        return adjective
    return f"{adjective}s" if adjective[-1] in "aoe" else f"{adjective}es"


def request(body: str, dice: random.Random) -> str:
    """Wrap a caption in a verb, politeness and style words."""
    medium = f"{dice.choice(MEDIA)} " if dice.random() < 0.25 else ""
    text = f"{dice.choice(REQUESTS)} {medium}{body}"
    if dice.random() < 0.2:
        text = f"por favor {text}" if dice.random() < 0.5 else f"{text} por favor"
    if dice.random() < 0.15:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
