"""The router's decision in the words of the API: for one of the seven intents, or for a tenant's own."""

import dataclasses
from typing import Any

from services.gateway.few_shot import Match
from services.gateway.intents_schemas import OwnIntent
from services.gateway.router import UNCLEAR, Route
from services.gateway.schemas import AssistRequest, Choice, Intent, Piece, RouteAnswer
from services.gateway.slots import slots_of, spans_of

WHOLE_TEXT: dict[Intent, str] = {
    "draw": "subject",
    "classify": "text",
    "answer": "question",
    "ask": "question",
    "write": "instruction",
    "chat": "text",
}
"""The slot that the whole text fills when the caller, not the router, chose the intent."""


def decided(route: Route, request: AssistRequest, forced: Intent | None) -> RouteAnswer:
    """Return the decision for one of the seven, or for the one that the caller wants; `service` is left open."""
    intent, confidence, slots, spans = route.intent, route.confidence, route.slots, route.spans
    if forced is not None and forced != intent:
        intent, confidence, slots = forced, 1.0, slots_for(forced, request)
        spans = spans_of(request.text, slots, images=len(request.images))
    return RouteAnswer(
        intent=intent,
        confidence=confidence,
        alternatives=[
            Choice(intent=other.intent, confidence=other.confidence) for other in route.alternatives
        ],
        language=route.language,
        slots=slots,
        spans={name: Piece(start=span.start, end=span.end) for name, span in spans.items()},
        service=None,
        explanation=dataclasses.asdict(route.explanation),
    )


def own_answer(route: Route, intent: OwnIntent, match: Match | None) -> RouteAnswer:
    """Return the decision for a tenant's own intent; the router's own best comes second."""
    alternatives = [Choice(intent=a.intent, confidence=a.confidence) for a in route.alternatives]
    if route.intent != UNCLEAR:
        alternatives.insert(0, Choice(intent=route.intent, confidence=route.confidence))
    explanation = dataclasses.asdict(route.explanation)
    if match is not None and match.runner_up is not None:
        name, confidence = match.runner_up
        alternatives.append(Choice(intent=name, confidence=confidence))
        alternatives.sort(key=lambda choice: -choice.confidence)
    if match is not None:
        explanation = {
            "margin": round(match.confidence - (match.runner_up[1] if match.runner_up else 0.0), 4),
            "threshold": 0.5,
            "evidence": [],
            "nearest": [dataclasses.asdict(near) for near in match.nearest],
        }
    return RouteAnswer(
        intent=intent.name,
        confidence=match.confidence if match else 1.0,
        alternatives=alternatives[:2],
        language=route.language,
        slots={},
        service=intent.service,
        explanation=explanation,
    )


def slots_for(intent: Intent, request: AssistRequest) -> dict[str, Any]:
    """Find what an intent needs that the caller chose: the text itself if nothing else is found."""
    found = slots_of(
        intent,
        request.text,
        has_context=request.context is not None,
        images=len(request.images),
    )
    whole = WHOLE_TEXT.get(intent)
    return found if whole is None or found.get(whole) else found | {whole: request.text}
