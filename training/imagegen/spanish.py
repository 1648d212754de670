"""Say a scene in Spanish; adjectives agree in gender and number."""

import random

from training.imagegen.scenes import Item, Scene

# Nouns of each kind; "f:" marks a feminine one, and a plural follows where it is irregular.
NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("círculo", "círculo", "círculo", "circulo", "disco", "circulito", "f:pelota"),
    "square": ("cuadrado", "cuadrado", "cuadradito", "f:caja"),
    "triangle": ("triángulo", "triángulo", "triangulo", "triangulito"),
    "star": ("f:estrella", "f:estrella", "f:estrellita"),
    "heart": ("corazón", "corazón", "corazon", "corazoncito"),
    "diamond": ("rombo", "rombo", "diamante"),
    "rectangle": ("rectángulo", "rectángulo", "rectangulo"),
    "cross": ("f:cruz", "f:cruz", "f:crucecita"),
    "house": ("f:casa", "f:casa", "f:casita"),
    "tree": ("árbol", "árbol", "arbol", "arbolito"),
    "flower": ("f:flor", "f:flor", "f:florecita", "f:rosa"),
    "face": ("f:cara", "f:cara sonriente", "f:carita", "rostro"),
    "sun": ("sol", "sol", "solecito"),
    "moon": ("f:luna", "f:luna", "f:lunita"),
    "boat": ("barco", "barco", "barquito", "f:barca", "velero", "bote"),
    "car": ("coche", "coche", "carro", "auto", "cochecito", "carrito"),
    "cat": ("gato", "gato", "gatito", "f:gata", "f:gatita"),
    "robot": ("robot", "robot", "robotito"),
    "mountain": ("f:montaña", "f:montaña", "monte", "f:montañita"),
    "fish": ("pez", "pez", "pececito", "pescado"),
}
NEAR: dict[str, tuple[str, ...]] = {
    "circle": ("óvalo", "f:elipse", "anillo", "planeta", "f:manzana", "f:moneda"),
    "rectangle": ("f:puerta", "libro", "f:mesa", "f:bandera", "teléfono"),
    "square": ("f:ventana", "regalo", "pastel"),
    "triangle": ("f:pirámide", "f:flecha", "f:pizza"),
    "house": ("edificio", "castillo", "f:iglesia", "f:torre", "f:ciudad", "pueblo", "f:escuela"),
    "tree": ("bosque", "arbusto", "pino", "f:palmera", "f:planta"),
    "flower": ("tulipán", "girasol", "f:margarita", "f:mariposa"),
    "face": ("hombre", "f:mujer", "f:niña", "niño", "f:persona", "f:cabeza", "bebé"),
    "boat": ("yate", "buque", "pirata"),
    "car": ("camión", "autobús", "taxi", "tren", "f:bicicleta", "f:moto"),
    "cat": ("perro", "perrito", "león", "tigre", "zorro", "oso", "conejo", "lobo", "caballo")
    + ("animal",),
    "robot": ("androide", "f:máquina", "astronauta", "monstruo", "f:computadora"),
    "mountain": ("volcán", "f:colina", "f:roca"),
    "fish": ("tiburón", "f:ballena", "delfín", "pájaro"),
}
NEAR_SHARE = 0.07
PLURALS = {
    "corazón": "corazones",
    "cruz": "cruces",
    "pez": "peces",
    "robot": "robots",
    "sol": "soles",
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
SIZES = {
    "big": ("grande", "grande", "enorme", "gran"),
    "small": ("pequeño", "pequeño", "chico", "pequeñito"),
}
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
NUMBERS = {2: ("dos", "dos", "2"), 3: ("tres", "tres", "3"), 4: ("cuatro", "cuatro", "4")}
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
NIGHT = ("de noche", "de noche", "por la noche", "en la noche")
SCENERIES: dict[str, tuple[str, ...]] = {
    "day": ("de día", "en el cielo", "en un día soleado", "bajo el cielo azul", "con nubes")
    + ("en un día de sol", "fondo de cielo"),
    "night": (*NIGHT, "en el cielo nocturno", "bajo las estrellas", "en una noche estrellada"),
    "sea": ("en el mar", "en el mar", "sobre el mar", "en el agua", "sobre el agua")
    + ("en el océano", "junto al mar", "sobre las olas", "fondo de mar"),
    "grass": ("en la hierba", "sobre la hierba", "en el césped", "sobre el césped", "en el prado")
    + ("en el campo", "en un prado", "en el jardín", "en el pasto"),
    "snow": ("en la nieve", "en la nieve", "sobre la nieve", "en invierno", "en un día nevado"),
}
ALONE: dict[str, tuple[str, ...]] = {
    "day": ("el cielo", "un cielo azul", "nubes", "un día soleado", "el cielo de día"),
    "night": ("el cielo nocturno", "la noche", "una noche estrellada", "estrellas de noche"),
    "sea": ("el mar", "el océano", "un mar", "un lago", "las olas", "agua", "una playa"),
    "grass": ("hierba", "césped", "un prado", "un campo verde", "el campo", "un paisaje"),
    "snow": ("nieve", "la nieve", "el invierno", "un campo nevado", "un paisaje nevado"),
}
REQUESTS = (
    ("dibuja", "dibuja", "dibuja", "dibújame", "dibujame", "pinta", "píntame", "haz", "hazme")
    + ("crea", "genera", "muestra", "muéstrame", "quiero", "dame", "necesito", "quisiera")
    + ("puedes dibujar", "podrías dibujar", "dibuje", "dibujar", "me gustaría")
)
MEDIA = ("una imagen de", "un dibujo de", "una foto de", "una ilustración de", "una imagen con")
ENDINGS = (
    (", alta calidad", ", buena calidad", ", 4k", ", muy detallado", " para mí", ", gracias")
    + (" gracias", ", obra maestra", ", hd", ", simple", " ahora", ", realista", ", 8k")
    + (", arte digital", ", estilo dibujo animado")
)
PRAISE = ("bonito", "lindo", "hermoso", "simple", "perfecto", "feliz", "viejo", "nuevo", "alegre")


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
    return dice.choice(ALONE[ground]) + (" de noche" if night else "")


def with_background(body: str, background: str, dice: random.Random) -> str:
    """Add the background, now and then in front."""
    night, _, ground = background.rpartition(" ")
    if ground in SCENERIES:
        words = [dice.choice(SCENERIES[ground])] + ([dice.choice(NIGHT)] if night else [])
        dice.shuffle(words)
        said = " ".join(words)
        return f"{said} {body}" if dice.random() < 0.08 else f"{body} {said}"
    colour = dice.choice(COLOURS[background])
    if dice.random() < 0.08:
        return f"fondo {colour} con {body}"
    if dice.random() < 0.06:
        return f"{body} sobre {colour}"
    if dice.random() < 0.06:
        return f"{body} en un fondo de color {colour}"
    return dice.choice(BACKGROUNDS).format(body, colour)


def subject(scene: Scene, dice: random.Random) -> str:
    """Name the items without the background."""
    first = scene.items[0]
    if scene.relation:
        words = dice.choice(RELATIONS[scene.relation])
        said = f"{thing(first, scene, dice)} {words} {thing(scene.items[1], scene, dice)}"
        return said.replace(" de el ", " del ").replace(" a el ", " al ")
    if len(scene.items) > 1:
        return counted(first, len(scene.items), dice)
    body = thing(first, scene, dice)
    return f"{body} {dice.choice(POSITIONS[scene.position])}" if scene.position else body


def counted(item: Item, number: int, dice: random.Random) -> str:
    """Name several equal items."""
    noun, feminine = parsed(dice.choice(NOUNS[item.kind]))
    colour = agree(dice.choice(COLOURS[item.colour]), feminine, plural=True)
    count = dice.choice(NUMBERS[number])
    chance = dice.random()
    if chance < 0.08:
        count = dice.choice(("unas", "las") if feminine else ("unos", "los"))
    elif chance < 0.12:
        count = ""
    return f"{count} {plural(noun)} {colour}".strip()


def parsed(noun: str) -> tuple[str, bool]:
    """Split a noun's mark of gender off."""
    return noun.removeprefix("f:"), noun.startswith("f:")


def plural(noun: str) -> str:
    """Return a noun's plural, an adjective behind it included."""
    if " " in noun:
        return " ".join(plural(word) for word in noun.split(" "))
    return PLURALS.get(noun, f"{noun}s" if noun[-1] in "aeo" else f"{noun}es")


def thing(item: Item, scene: Scene, dice: random.Random) -> str:
    """Name one item with its article, colour and size."""
    near = item.kind in NEAR and dice.random() < NEAR_SHARE
    noun, feminine = parsed(dice.choice((NEAR if near else NOUNS)[item.kind]))
    words = [noun]
    if scene.says_colour:
        colour = dice.choice(COLOURS[item.colour])
        plain = f"de color {colour}" if dice.random() < 0.08 else agree(colour, feminine)
        words.append(plain)
    if scene.size:
        size = dice.choice(SIZES[scene.size])
        is_before = size == "gran" or (dice.random() < 0.2 and scene.size == "small")
        words.insert(0 if is_before else len(words), agree(size, feminine))
    if dice.random() < 0.06:
        words.append(agree(dice.choice(PRAISE), feminine))
    return article(" ".join(words), feminine, dice)


def article(words: str, feminine: bool, dice: random.Random) -> str:
    """Put un(a), el/la, 1 or nothing in front."""
    chance = dice.random()
    if chance < 0.24:
        return words
    if chance < 0.32:
        return f"{'la' if feminine else 'el'} {words}"
    if chance < 0.34:
        return f"1 {words}"
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
    text = f"{dice.choice(REQUESTS)} {medium}{body}".replace(" de el ", " del ")
    if dice.random() < 0.2:
        text = f"por favor {text}" if dice.random() < 0.5 else f"{text} por favor"
    if dice.random() < 0.2:
        text += dice.choice(ENDINGS)
    return text + dice.choice(("", "", "", "", ".", "!"))
