"""What came of a wish, as the message of a chat."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.gateway.dialects.openai_schemas import Answered
from services.gateway.schemas import AssistAnswer, Language

NOTHING_FOUND: dict[Language, str] = {
    "en": "The knowledge base holds no answer to this.",
    "es": "La base de conocimientos no contiene una respuesta.",
    "ru": "В базе знаний нет ответа на это.",
}
NO_ANSWER: dict[Language, str] = {
    "en": "The text holds no answer to this.",
    "es": "El texto no contiene una respuesta.",
    "ru": "В тексте нет ответа на это.",
}
NO_FEELING: dict[Language, str] = {
    "en": "No emotion stands out.",
    "es": "No destaca ninguna emoción.",
    "ru": "Ни одна эмоция не выделяется.",
}

Encoded = Callable[[str], Awaitable[str]]
"""Fetches a painted picture in base64."""
Absolute = Callable[[str], str]
"""Makes a path of this gateway an address."""


async def message_of(answer: AssistAnswer, encoded: Encoded, absolute: Absolute) -> Answered:
    """Return the assistant's message, in words and with the structured parts beside them."""
    output, language = answer.output, answer.language
    match answer.intent:
        case "draw" | "blend":
            return await _pictures(answer, encoded, absolute)
        case "classify":
            return Answered(content=_feelings(output) or NO_FEELING[language])
        case "answer":
            return Answered(content=_span(output) or NO_ANSWER[language])
        case "ask":
            said = output.get("answer") or NOTHING_FOUND[language]
            citations = output.get("citations") if output.get("answered") else None
            conversation = output.get("conversation_id")
            return Answered(content=said, citations=citations, conversation_id=conversation)
        case _:
            return Answered(content=str(output.get("text", "")))


async def _pictures(answer: AssistAnswer, encoded: Encoded, absolute: Absolute) -> Answered:
    words = str(answer.slots.get("subject") or answer.slots.get("prompt") or "picture")
    shown = "".join(" " if letter in "[]\r\n" else letter for letter in words)
    lines, images = [], []
    for index, picture in enumerate(answer.output["pictures"]):
        lines.append(f"![{shown}]({absolute(picture['url'])})")
        url = f"data:image/png;base64,{await encoded(picture['url'])}"
        images.append({"type": "image_url", "index": index, "image_url": {"url": url}})
    warnings = [str(warning) for warning in answer.output.get("warnings") or ()]
    return Answered(content="\n\n".join([*lines, *warnings]), images=images)


def _feelings(output: dict[str, Any]) -> str:
    result = output["results"][0]
    scores = {score["label"]: score["score"] for score in result["scores"]}
    return ", ".join(f"{label} ({scores.get(label, 0):.0%})" for label in result["labels"])


def _span(output: dict[str, Any]) -> str:
    answers = output.get("answers") or []
    return str(answers[0]["text"]) if answers and output.get("answerable", True) else ""
