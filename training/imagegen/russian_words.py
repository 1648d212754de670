"""The Russian nouns: what is drawn, and what is only near to it."""

from training.imagegen.declension import (
    Noun,
    feminine,
    masculine,
    neuter,
    soft_masculine,
)

NOUNS: dict[str, tuple[Noun, ...]] = {
    "circle": (
        *(masculine("круг"),) * 4,
        masculine("кружк", "кружок"),
        masculine("диск"),
        masculine("шар"),
        masculine("шарик"),
        masculine("мяч"),
    ),
    "square": (
        *(masculine("квадрат"),) * 4,
        masculine("квадратик"),
        masculine("кубик"),
    ),
    "triangle": (*(masculine("треугольник"),) * 4, masculine("треугольничк", "треугольничек")),
    "star": (
        *(feminine("звезд", "звёзд", "звёзд"),) * 4,
        feminine("звёздочк", "звёздочек"),
    ),
    "heart": (
        *(neuter("сердц", "е", "сердца", "сердец"),) * 3,
        neuter("сердечк", "о", "сердечки", "сердечек"),
    ),
    "diamond": (*(masculine("ромб"),) * 4, masculine("ромбик")),
    "rectangle": (masculine("прямоугольник"),),
    "cross": (*(masculine("крест"),) * 3, masculine("крестик"), masculine("плюс")),
    "house": (
        *(masculine("дом", plural="дома"),) * 3,
        masculine("домик"),
        feminine("избушк", "избушек"),
    ),
    "tree": (
        *(
            Noun(
                "n",
                "дерево дерево дерева деревом дереву дереве",
                "деревья деревья деревьев деревьями деревьям деревьях",
            ),
        )
        * 4,
        Noun(
            "n",
            "деревце деревце деревца деревцем деревцу деревце",
            "деревца деревца деревцев деревцами деревцам деревцах",
        ),
        feminine("ёлк", "ёлок"),
    ),
    "flower": (
        *(masculine("цветк", "цветок", many="цвет"),) * 3,
        masculine("цветочк", "цветочек"),
        feminine("роз", "роз"),
        feminine("ромашк", "ромашек"),
    ),
    "face": (
        *(neuter("лиц", "о", "лица", "лиц"),) * 2,
        masculine("смайлик"),
        masculine("смайл"),
        feminine("рожиц", "рожиц"),
        neuter("личик", "о", "личики", "личиков"),
    ),
    "sun": (
        *(neuter("солнц", "е", "солнца", "солнц"),) * 3,
        neuter("солнышк", "о", "солнышки", "солнышек"),
    ),
    "moon": (*(feminine("лун", "лун"),) * 3, masculine("месяц"), masculine("полумесяц")),
    "boat": (
        *(feminine("лодк", "лодок"),) * 3,
        feminine("лодочк", "лодочек"),
        soft_masculine("корабл", "ём"),
        masculine("кораблик"),
        masculine("парусник"),
    ),
    "car": (
        *(feminine("машин", "машин"),) * 3,
        feminine("машинк", "машинок"),
        soft_masculine("автомобил"),
    ),
    "cat": (
        *(masculine("кот", animate=True),) * 3,
        *(feminine("кошк", "кошек", animate=True),) * 2,
        masculine("котик", animate=True),
        feminine("кошечк", "кошечек", animate=True),
        Noun(
            "m",
            "котёнок котёнка котёнка котёнком котёнку котёнке",
            "котята котят котят котятами котятам котятах",
        ),
    ),
    "robot": (*(masculine("робот", animate=True),) * 3, masculine("робот"), masculine("роботик")),
    "mountain": (*(feminine("гор", "гор"),) * 3, masculine("холм"), feminine("горк", "горок")),
    "fish": (
        *(feminine("рыб", "рыб", animate=True),) * 2,
        *(feminine("рыбк", "рыбок", animate=True),) * 2,
    ),
}
NEAR: dict[str, tuple[Noun, ...]] = {
    "circle": (
        masculine("овал"),
        masculine("эллипс"),
        feminine("планет", "планет"),
        feminine("монет", "монет"),
        neuter("яблок", "о", "яблоки", "яблок"),
        masculine("апельсин"),
    ),
    "rectangle": (
        masculine("стол"),
        masculine("телефон"),
        masculine("флаг"),
        feminine("книг", "книг"),
    ),
    "square": (masculine("торт"), feminine("коробк", "коробок"), masculine("подарк", "подарок")),
    "triangle": (feminine("пирамид", "пирамид"), feminine("пицц", "пицц")),
    "star": (feminine("снежинк", "снежинок"),),
    "house": (
        masculine("замк", "замок"),
        masculine("город", plural="города"),
        masculine("терем", plural="терема"),
        feminine("школ", "школ"),
        feminine("башенк", "башенок"),
    ),
    "tree": (
        masculine("лес", plural="леса"),
        masculine("куст"),
        feminine("пальм", "пальм"),
        feminine("берёз", "берёз"),
    ),
    "flower": (
        masculine("тюльпан"),
        masculine("букет"),
        masculine("подсолнух"),
        feminine("бабочк", "бабочек", animate=True),
    ),
    "face": (
        masculine("человек", animate=True),
        masculine("мальчик", animate=True),
        feminine("девочк", "девочек", animate=True),
        feminine("девушк", "девушек", animate=True),
        feminine("женщин", "женщин", animate=True),
        feminine("голов", "голов"),
    ),
    "boat": (feminine("яхт", "яхт"), masculine("катер"), masculine("пароход")),
    "car": (
        masculine("грузовик"),
        masculine("автобус"),
        masculine("поезд", plural="поезда"),
        masculine("велосипед"),
        masculine("трактор"),
    ),
    "cat": (
        feminine("собак", "собак", animate=True),
        masculine("щенк", "щенок", many="щенк", animate=True),
        masculine("тигр", animate=True),
        masculine("волк", animate=True),
        feminine("лис", "лис", animate=True),
        feminine("собачк", "собачек", animate=True),
        masculine("кролик", animate=True),
    ),
    "robot": (
        masculine("космонавт", animate=True),
        masculine("монстр", animate=True),
        masculine("компьютер"),
    ),
    "mountain": (masculine("вулкан"), feminine("скал", "скал")),
    "fish": (
        feminine("акул", "акул", animate=True),
        masculine("дельфин", animate=True),
        masculine("кит", animate=True),
        feminine("птиц", "птиц", animate=True),
    ),
}
