"""What people send to each service: requests with realistic texts in three languages."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

KNOWLEDGE = Path(__file__).resolve().parents[2] / "local" / "knowledge"
COLLECTION = "load"
PICTURE_SECONDS = 10.0
SUBJECTS = {
    "en": ("a red circle above a blue square", "three orange hearts", "a house on the grass"),
    "es": ("un triángulo verde", "dos estrellas amarillas", "un barco en el mar"),
    "ru": ("жёлтая звезда на синем фоне", "три красных круга", "домик на траве"),
}
FEELINGS = {
    "en": ("I can't believe they cancelled it again.", "Thank you so much, this made my day!"),
    "es": ("No puedo creer que lo hayan cancelado otra vez.", "¡Muchísimas gracias por todo!"),
    "ru": ("Не могу поверить, что всё опять отменили.", "Спасибо огромное, вы меня выручили!"),
}
WISHES = {
    "draw": {"en": "draw {}", "es": "dibuja {}", "ru": "нарисуй: {}"},
    "classify": {
        "en": 'what emotion is in "{}"?',
        "es": "¿qué emoción expresa «{}»?",
        "ru": "какая эмоция в тексте «{}»?",
    },
}
QUESTIONS = {
    "en": ("How many vacation days do employees get?", "When are visitors welcome?"),
    "es": ("¿Cuántos días de vacaciones hay?", "¿Cuándo se permiten las visitas?"),
    "ru": ("Сколько дней отпуска у сотрудников?", "Когда начинается приём?"),
}
LANGUAGES = tuple(QUESTIONS)


@dataclass(frozen=True)
class Wish:
    """One request, and what it is counted as."""

    name: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@cache
def passages(language: str) -> tuple[str, ...]:
    """Return the paragraphs of our own documentation in a language."""
    texts = [
        file.read_text(encoding="utf-8") for file in sorted(KNOWLEDGE.glob(f"*.{language}.md"))
    ]
    return tuple(part for text in texts for part in re.split(r"\n\s*\n", text) if len(part) > 80)


def message(dice: random.Random) -> str:
    """Return what somebody might write: a sentence or two, now and then a paragraph."""
    language = dice.choice(LANGUAGES)
    if dice.random() < 0.3:
        return dice.choice(passages(language))
    sentences = re.split(r"(?<=[.!?])\s+", dice.choice(passages(language)))
    return " ".join([dice.choice(FEELINGS[language]), dice.choice(sentences)][: dice.randint(1, 2)])


def classifier(dice: random.Random) -> Wish:
    """Ask for emotions: mostly of one text, sometimes of a list, sometimes among own labels."""
    draw = dice.random()
    if draw < 0.1:
        labels = ["complaint", "praise", "question"]
        return Wish("zero-shot", "/v1/zero-shot", {"texts": [message(dice)], "labels": labels})
    number = 1 if draw < 0.9 else dice.randint(4, 16)
    return Wish("classify", "/v1/classify", {"texts": [message(dice) for _ in range(number)]})


def qa(dice: random.Random) -> Wish:
    """Ask about a paragraph, sometimes about a whole document."""
    language = dice.choice(LANGUAGES)
    chosen = passages(language)
    context = "\n\n".join(chosen) if dice.random() < 0.1 else dice.choice(chosen)
    question = dice.choice(QUESTIONS[language])
    return Wish("answer", "/v1/answer", {"question": question, "context": context})


def rag(dice: random.Random) -> Wish:
    """Search in the documents, or ask them."""
    question = dice.choice(QUESTIONS[dice.choice(LANGUAGES)])
    root = f"/v1/collections/{COLLECTION}"
    if dice.random() < 0.7:
        return Wish("search", f"{root}/search", {"query": question, "k": 5})
    return Wish("ask", f"{root}/ask", {"question": question})


def imagegen(dice: random.Random) -> Wish:
    """Order a picture that is worth nothing later."""
    prompt = dice.choice(SUBJECTS[dice.choice(LANGUAGES)])
    body = {"prompt": prompt, "seed": dice.randrange(2**32), "deadline_seconds": PICTURE_SECONDS}
    return Wish("picture", "/v1/images", body, {"X-Tenant": f"tenant-{dice.randrange(10)}"})


def gateway(dice: random.Random) -> Wish:
    """Say in one's own words what to do; pictures are the rarest, as they cost the most."""
    language = dice.choice(LANGUAGES)
    kind = dice.choices(("classify", "answer", "ask", "draw"), weights=(45, 30, 20, 5))[0]
    if kind == "ask":
        body: dict[str, Any] = {
            "text": dice.choice(QUESTIONS[language]),
            "collection": COLLECTION,
            "options": {"intent": "ask"},
        }
    elif kind == "answer":
        context = dice.choice(passages(language))
        body = {"text": dice.choice(QUESTIONS[language]), "context": context}
    else:
        about = SUBJECTS if kind == "draw" else FEELINGS
        body = {"text": WISHES[kind][language].format(dice.choice(about[language]))}
    return Wish(kind, "/v1/assist", body)


MIXES: dict[str, Callable[[random.Random], Wish]] = {
    "classifier": classifier,
    "qa": qa,
    "rag": rag,
    "imagegen": imagegen,
    "gateway": gateway,
}
BUDGET_SECONDS = {
    "classifier": 1.0,
    "qa": 2.0,
    "rag": 3.0,
    "imagegen": PICTURE_SECONDS,
    "gateway": 3.0,
}


def documents() -> dict[str, Any]:
    """Return the body that puts our own documentation into a collection."""
    files = sorted(KNOWLEDGE.glob("*.md"))
    return {
        "documents": [{"id": f.name, "text": f.read_text(encoding="utf-8")} for f in files],
    }
