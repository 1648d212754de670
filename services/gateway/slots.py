"""Find what a service needs inside a message: what to draw, what to classify, the question, the weights.

Every text slot is a piece of the message as it was written, never a rewording.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.gateway.features import QUOTED
from services.gateway.phrasing import (
    CALL,
    DASH,
    DRAW,
    GIVEN,
    LABEL,
    LABELLED,
    LOOKED,
    LOOKS,
    MODAL,
    PICTURE,
    POLITE,
    QUESTION_WORD,
    SENTENCE,
    TELL,
    unquoted,
    without,
    without_closing,
)
from services.gateway.shares import MIXED_IN, ORDINALS, PICTURE_WORD, STYLE, shares_of

AT_THE_END: Final = frozenset({"subject", "prompt"})
BESIDE: Final = " \t\r\n,;:-–—"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the message, in characters."""

    start: int
    end: int


def slots_of(
    intent: str, text: str, *, has_context: bool = False, images: int = 0
) -> dict[str, Any]:
    """Return what the intent's service needs; an unclear message has no slots."""
    if intent == "answer":
        return answer_slots(text, has_context=has_context)
    if intent == "blend":
        return blend_slots(text, images=images)
    find = SLOTS.get(intent)
    return find(text) if find else {}


def spans_of(text: str, slots: Mapping[str, Any], *, images: int = 0) -> dict[str, Span]:
    """Say where in the message each slot stands: `text[start:end]` is the slot, or says the weights."""
    spans: dict[str, Span] = {}
    for name, value in slots.items():
        if isinstance(value, str):
            # A subject ends the message; another slot may be repeated by what follows it.
            start = text.rfind(value) if name in AT_THE_END else text.find(value)
            spans[name] = Span(start, start + len(value))
        elif shares := shares_of(text, images):
            spans[name] = Span(shares.start, shares.end)
    return spans


def draw_slots(text: str) -> dict[str, Any]:
    """Return the subject: the message without command, politeness and label."""
    called = CALL.search(text)
    rest = without(POLITE, text[called.start(1) :] if called else text)
    asked = without(POLITE, without(MODAL, rest))
    commanded = without(POLITE, without(DRAW, asked))
    pictured = without(LABEL, without(PICTURE, commanded))
    looked = without(LOOKS, pictured)
    subject = without_closing(looked)
    if looked != pictured:
        subject = LOOKED.sub("", subject)
    subject = unquoted(subject)
    return {"subject": subject or text.strip()}


def classify_slots(text: str) -> dict[str, Any]:
    """Return the text to classify: quoted, after the colon, or beside the question."""
    quoted = _longest_quotation(text)
    if quoted:
        return {"text": quoted}
    before, colon, after = text.partition(":")
    if colon and after.strip() and len(before.split()) <= 14:
        return {"text": after.strip()}
    return {"text": _beside_question(text) or text.strip()}


def answer_slots(text: str, *, has_context: bool = False) -> dict[str, Any]:
    """Return the question and, when the message holds one, the passage to answer it from."""
    if has_context:
        return {"question": _asked(text)}
    labelled = _labelled(text)
    if labelled:
        return labelled
    quoted = _longest_quotation(text)
    if len(quoted.split()) >= 4:
        return {"question": _asked(_outside(text) or text), "context": quoted}
    return _split_question(text)


def ask_slots(text: str) -> dict[str, Any]:
    """Return the question without greeting and "can you tell me"."""
    return {"question": _asked(text)}


def blend_slots(text: str, *, images: int = 0) -> dict[str, Any]:
    """Return the weights of the pictures, in their order and adding up to 1, and the words to mix in."""
    slots: dict[str, Any] = {}
    shares = shares_of(text, images)
    if shares:
        slots["weights"] = shares.weights
    words = STYLE.search(text) or MIXED_IN.search(text)
    prompt = without_closing(words[1]) if words else ""
    if prompt and not any(pattern.search(prompt) for pattern in (PICTURE_WORD, *ORDINALS)):
        slots["prompt"] = prompt
    return slots


SLOTS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "draw": draw_slots,
    "classify": classify_slots,
    "ask": ask_slots,
    "write": lambda text: {"instruction": text.strip()},
    "chat": lambda text: {"text": text.strip()},
}


def _longest_quotation(text: str) -> str:
    return max((q[1:-1].strip() for q in QUOTED.findall(text)), key=len, default="")


def _outside(text: str) -> str:
    """Return the question beside the quotations, or else the longest piece beside them."""
    pieces = [piece.strip(BESIDE) for piece in QUOTED.split(text)]
    asked = [question for piece in pieces if (question := _last_question(piece))]
    return asked[-1].strip(BESIDE) if asked else max(pieces, key=len)


def _sentences(text: str) -> list[str]:
    return [m[0].strip() for m in SENTENCE.finditer(text) if m[0].strip()]


def _beside_question(text: str) -> str:
    """Return what is left of a message when the question about it is taken away."""
    asked = _last_question(text)
    if not asked:
        return ""
    dashes = list(DASH.finditer(text))
    if dashes:
        return text[: dashes[-1].start()].strip()
    before, _, after = text.partition(asked)
    return max(before.strip(" -–—<\n\t"), after.strip(), key=len)


def _last_question(text: str) -> str:
    questions = [s for s in _sentences(text) if s.rstrip('"»”').endswith("?")]
    if not questions:
        return ""
    last = questions[-1]
    return last[last.rfind("¿") :] if "¿" in last else last


def _asked(text: str) -> str:
    """Return a question without greeting, "according to the text" and "can you tell me"."""
    rest = without(POLITE, text.strip())
    given = without(POLITE, without(GIVEN, rest))
    told = TELL.match(given)
    asked = without(POLITE, given[told.end() :]) if told else ""
    return asked.strip() if QUESTION_WORD.match(asked) else given.strip() or text.strip()


def _labelled(text: str) -> dict[str, Any]:
    """Read "Text: ... Question: ..." in either order, also with only one of the labels."""
    labels = list(LABELLED.finditer(text))
    if not labels:
        return {}
    ends = [*(m.start() for m in labels[1:]), len(text)]
    parts = {
        "context" if m[1] else "question": text[m.end() : end].strip()
        for m, end in zip(labels, ends, strict=True)
    }
    before = text[: labels[0].start()].strip()
    if set(parts) == {"context", "question"}:
        return {"question": parts["question"], "context": unquoted(parts["context"])}
    if "context" in parts:
        if before:
            return {"question": _asked(before), "context": unquoted(parts["context"])}
        return _split_question(parts["context"])
    return (
        {"question": parts["question"], "context": before}
        if before
        else _split_question(parts["question"])
    )


def _split_question(text: str) -> dict[str, Any]:
    """Part a passage from the question before or after it."""
    question = _last_question(text)
    if not question:
        before, colon, after = text.partition(":")
        if colon and len(after.split()) >= 4:
            return {"question": _asked(before), "context": after.strip()}
        return {"question": _asked(text)}
    before, _, after = text.rpartition(question)
    context = without(GIVEN, max(before.strip(), after.strip(), key=len))
    if len(context.split()) < 4:
        return {"question": _asked(text)}
    return {"question": _asked(question), "context": context}
