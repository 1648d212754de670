"""Carrying a wish out: understand it, follow it, and keep what came of it as a turn."""

import contextlib
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from kit.errors import Overloaded, ServiceError, Unauthorized, UpstreamFailed
from services.console.client import Gateway
from services.console.painting import Painting
from services.console.schemas import (
    SHOWN_SCORES,
    Blend,
    Citation,
    Passage,
    Picture,
    Score,
    Turn,
    Understood,
    Wish,
)
from services.console.texts import say

CONTEXT_KEPT_CHARS = 4000
CONFLICT = 409

Progress = tuple[Turn, Painting | None]
"""The turn so far, and the picture that is being painted for it."""


def new_turn(text: str, **fields: Any) -> Turn:
    """Return a turn with an id of its own."""
    return Turn(id=uuid.uuid4().hex[:12], text=text, **fields)


async def carry_out(
    gateway: Gateway, wish: Wish, key: str, language: str
) -> AsyncGenerator[Progress]:
    """Yield the turn whenever more of it is known; the last one is complete, problems included."""
    kept = wish.context[:CONTEXT_KEPT_CHARS]
    turn = new_turn(wish.text, collection=wish.collection, context=kept)
    try:
        understood = await gateway.route(wish, key)
        turn = turn.model_copy(update={"understood": understood})
        yield turn, None
        async for progress in _followed(gateway, wish, turn, key):
            yield progress
    except ServiceError as error:
        yield failed(turn, error, language), None


async def _followed(gateway: Gateway, wish: Wish, turn: Turn, key: str) -> AsyncGenerator[Progress]:
    intent = turn.intent if turn.intent != "unclear" else None
    painting: Painting | None = None
    async for name, data in gateway.assist(wish, intent, key):
        if name == "error":
            yield _refused(turn, data), None
            return
        if name == "result":
            yield completed(turn, data["output"], wish), None
            return
        if name in ("progress", "preview"):
            now = time.monotonic()
            painting = (painting or Painting(now)).after((name, data), now)
            yield turn, painting
    raise UpstreamFailed("The gateway's answer broke off.")


async def carry_out_blend(
    gateway: Gateway, blend: Blend, text: str, key: str, language: str
) -> AsyncGenerator[Progress]:
    """The same for a blend of two pictures, which needs no understanding."""
    understood = Understood(
        intent="blend", confidence=1.0, language=language, service="imagegen", is_forced=True
    )
    turn = new_turn(text, understood=understood)
    try:
        job = await gateway.blend(blend, key)
        async for progress in _watched(gateway, job, turn, key):
            yield progress
    except ServiceError as error:
        yield failed(turn, error, language), None


async def _watched(
    gateway: Gateway, job: dict[str, Any], turn: Turn, key: str
) -> AsyncGenerator[Progress]:
    painting = Painting(time.monotonic()).after(("progress", job), time.monotonic())
    try:
        yield turn, painting
        async for event in gateway.follow(job["id"], key):
            painting = painting.after(event, time.monotonic())
            if painting.is_over:
                yield _ended(turn, event[1]), None
                return
            yield turn, painting
        raise UpstreamFailed("The gateway's answer broke off.")
    finally:
        if not painting.is_over:  # whoever closes the page wants it no more
            with contextlib.suppress(ServiceError):
                await gateway.cancel(job["id"], key)


def _ended(turn: Turn, job: dict[str, Any]) -> Turn:
    if job["status"] == "failed":
        return turn.model_copy(update={"status": "failed", "problem": str(job.get("error"))})
    if job["status"] == "cancelled":
        return turn.model_copy(update={"status": "cancelled"})
    return completed(turn, job, None)


def _refused(turn: Turn, problem: dict[str, Any]) -> Turn:
    """Keep a problem; a conflict of a picture is its cancellation."""
    is_cancelled = problem.get("status") == CONFLICT and turn.intent in ("draw", "blend")
    if is_cancelled:
        return turn.model_copy(update={"status": "cancelled"})
    return turn.model_copy(update={"status": "failed", "problem": str(problem.get("detail"))})


def failed(turn: Turn, error: ServiceError, language: str) -> Turn:
    """Keep an error as the turn's problem, in the page's language where it is ours to say."""
    return turn.model_copy(update={"status": "failed", "problem": problem_of(error, language)})


def problem_of(error: ServiceError, language: str) -> str:
    """Return what to tell about an error; the services' own sentences stay as they are."""
    if isinstance(error, Unauthorized):
        return say(language, "key_needed")
    if isinstance(error, Overloaded):
        seconds = max(1, round(error.retry_after_seconds))
        return say(language, "busy", seconds=seconds)
    if isinstance(error, UpstreamFailed) and "cannot be reached" in error.detail:
        return say(language, "unreachable")
    return error.detail


def completed(turn: Turn, output: dict[str, Any], wish: Wish | None) -> Turn:
    """Keep of an answer what the page shows."""
    kept = {
        "draw": _painted,
        "blend": _painted,
        "classify": _classified,
        "ask": _looked_up,
    }.get(turn.intent)
    if turn.intent == "answer" and wish is not None:
        found = _found(turn, output, wish)
    else:
        found = kept(output) if kept else {"said": str(output.get("text", ""))}
    return turn.model_copy(update=found)


def _painted(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "pictures": [Picture.model_validate(picture) for picture in job["pictures"]],
        "warnings": [str(warning) for warning in job.get("warnings", [])],
    }


def _classified(output: dict[str, Any]) -> dict[str, Any]:
    result = output["results"][0]
    scores = [Score.model_validate(score) for score in result["scores"]]
    best = sorted(scores, key=lambda score: -score.score)[:SHOWN_SCORES]
    return {"labels": result["labels"], "scores": best}


def _found(turn: Turn, output: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """Keep the best answer with the text around it, which came with the wish or inside it."""
    slots = turn.understood.slots if turn.understood else {}
    text = wish.context or str(slots.get("context") or "")
    if not output.get("answers"):
        return {"is_answered": False}
    best = output["answers"][0]
    passage = Passage.around(text, best["start"], best["end"])
    return {"passage": passage, "confidence": best["score"]}


def _looked_up(output: dict[str, Any]) -> dict[str, Any]:
    citations = [Citation.model_validate(citation) for citation in output["citations"]]
    return {
        "is_answered": output["answered"],
        "said": output["answer"] or "",
        "citations": citations,
        "confidence": citations[0].score if citations else 0.0,
        "conversation_id": output["conversation_id"],
    }
