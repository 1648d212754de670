"""The few sentences that the gateway says itself, in three languages."""

from collections.abc import Collection, Sequence

from services.gateway.schemas import Language

ABILITIES: dict[Language, dict[str, str]] = {
    "en": {
        "draw": "draw a picture from your words",
        "blend": "mix pictures into a new one",
        "classify": "tell the emotion of a text",
        "answer": "answer a question about a text that you give",
        "ask": "look up an answer in the knowledge base",
        "write": "write or edit a text",
        "chat": "say what I can do",
    },
    "es": {
        "draw": "dibujar una imagen a partir de tus palabras",
        "blend": "mezclar imágenes en una nueva",
        "classify": "reconocer la emoción de un texto",
        "answer": "responder una pregunta sobre un texto que me des",
        "ask": "buscar una respuesta en la base de conocimientos",
        "write": "escribir o corregir un texto",
        "chat": "contar lo que sé hacer",
    },
    "ru": {
        "draw": "нарисовать картинку по вашему описанию",
        "blend": "смешать картинки в новую",
        "classify": "определить эмоцию текста",
        "answer": "ответить на вопрос по вашему тексту",
        "ask": "найти ответ в базе знаний",
        "write": "написать или исправить текст",
        "chat": "рассказать, что я умею",
    },
}
OR: dict[Language, str] = {"en": " or ", "es": " o ", "ru": " или "}
AND: dict[Language, str] = {"en": " and ", "es": " y ", "ru": " и "}
UNSURE: dict[Language, str] = {
    "en": "I am not sure what you would like. Should I {choices}?",
    "es": "No estoy seguro de lo que necesitas. ¿Debo {choices}?",
    "ru": "Не совсем понятно, что нужно сделать. Мне {choices}?",
}
CAN: dict[Language, str] = {
    "en": "I can {able}. Just say what you need, in English, Spanish or Russian.",
    "es": "Puedo {able}. Di lo que necesitas, en español, inglés o ruso.",
    "ru": "Я могу {able}. Просто скажите, что нужно: по-русски, по-английски или по-испански.",
}
CANNOT: dict[Language, str] = {
    "en": " Right now I cannot {unable}.",
    "es": " Ahora mismo no puedo {unable}.",
    "ru": " Сейчас не могу {unable}.",
}


def question_back(language: Language, intents: Sequence[str]) -> str:
    """Ask which of the intents was meant."""
    choices = OR[language].join(ABILITIES[language][intent] for intent in intents)
    return UNSURE[language].format(choices=choices)


def description(language: Language, able: Collection[str]) -> str:
    """Say what works at this moment and, as honestly, what does not."""
    known = ABILITIES[language]
    can = [text for intent, text in known.items() if intent in able or intent == "chat"]
    cannot = [text for intent, text in known.items() if intent not in able and intent != "chat"]
    said = CAN[language].format(able=_listed(can, AND[language]))
    return said + CANNOT[language].format(unable=_listed(cannot, OR[language])) if cannot else said


def _listed(items: Sequence[str], last: str) -> str:
    return last.join(filter(None, [", ".join(items[:-1]), items[-1]]))
