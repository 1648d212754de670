"""From free text to an answer: route it, carry it out, and run what was asked for besides."""

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import anyio
import structlog

from kit.errors import ServiceError
from services.gateway import replies
from services.gateway.events import Emit
from services.gateway.router import Route, RouteRequest
from services.gateway.schemas import (
    AssistAnswer,
    AssistRequest,
    Branch,
    Choice,
    Intent,
    RouteAnswer,
    Timings,
)
from services.gateway.skills import Asked, Output, Skills, nobody_listens
from services.gateway.slots import slots_of

WHOLE_TEXT: dict[Intent, str] = {
    "draw": "subject",
    "classify": "text",
    "answer": "question",
    "ask": "question",
    "write": "instruction",
    "chat": "text",
}
"""The slot that the whole text fills when the caller, not the router, chose the intent."""

log = structlog.get_logger(__name__)


class IntentRouter(Protocol):
    """Decides what a message wants; blocking, about a millisecond, from any thread."""

    def route(self, request: RouteRequest) -> Route:
        """Return the decision."""
        ...


@dataclass(frozen=True)
class Caller:
    """Who asks, and in which way they want to be answered."""

    tenant: str
    request_id: str
    idempotency_key: str | None = None
    patience_seconds: float = 0.0
    generation: Mapping[str, Any] = field(default_factory=dict)
    """How the language model shall write, if it is asked."""


class Assistant:
    """Understands requests and has them done.

    The further branches run beside the main one; only the main one's failure is the answer's.
    """

    def __init__(self, router: IntentRouter, skills: Skills) -> None:
        self._router = router
        self._skills = skills

    async def route(self, request: AssistRequest) -> RouteAnswer:
        """Say what would be done, without doing it."""
        wish = RouteRequest(request.text, request.context is not None, len(request.images))
        route = await asyncio.to_thread(self._router.route, wish)
        intent, confidence, slots = route.intent, route.confidence, route.slots
        forced = request.options.intent
        if forced is not None and forced != intent:
            intent, confidence, slots = forced, 1.0, _slots(forced, request)
        return RouteAnswer(
            intent=cast("Intent", intent),
            confidence=confidence,
            alternatives=[
                Choice(intent=cast("Intent", other.intent), confidence=other.confidence)
                for other in route.alternatives
            ],
            language=route.language,
            slots=slots,
            service=None
            if intent == "unclear"
            else self._skills.service_of(cast("Intent", intent)),
            explanation=dataclasses.asdict(route.explanation),
        )

    async def assist(
        self, request: AssistRequest, caller: Caller, emit: Emit = nobody_listens
    ) -> tuple[AssistAnswer, Output]:
        """Route and carry out; returns the answer, and the main branch's status and location.

        Raises the chosen service's problem, or Unprocessable when the text lacks something.
        """
        started = time.monotonic()
        route = await self.route(request)
        routed = time.monotonic()
        await emit("route", route.model_dump(mode="json"))
        if route.intent == "unclear":
            output, branches = _question_back(route), dict[str, Branch]()
        else:
            main = Asked(
                request,
                route.slots,
                route.language,
                caller.tenant,
                options=request.options.model_extra or {},
                idempotency_key=caller.idempotency_key,
                patience_seconds=caller.patience_seconds,
                emit=emit,
                generation=caller.generation,
            )
            output, branches = await self._carry_out(route.intent, main)
        done = time.monotonic()
        answer = AssistAnswer(
            **route.model_dump(include={"intent", "confidence", "language", "service", "slots"}),
            output=output.body,
            branches=branches,
            timings=Timings(
                route_ms=_ms(routed - started),
                service_ms=_ms(done - routed),
                total_ms=_ms(done - started),
            ),
            request_id=caller.request_id,
        )
        return answer, output

    async def _carry_out(self, intent: Intent, main: Asked) -> tuple[Output, dict[str, Branch]]:
        """Run the main intent and, beside it, the further ones."""
        branches: dict[str, Branch] = {}
        outcome: Output | ServiceError
        async with anyio.create_task_group() as group:
            for other in dict.fromkeys(main.request.also):
                if other != intent:
                    group.start_soon(self._branch, other, main, branches)
            try:
                outcome = await self._skills.carry_out(intent, main)
            except ServiceError as error:
                outcome = error  # raised outside, free of the group
                group.cancel_scope.cancel()
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome, branches

    async def _branch(self, intent: Intent, main: Asked, branches: dict[str, Branch]) -> None:
        started = time.monotonic()
        # The options and the patience are meant for the main intent.
        asked = Asked(main.request, _slots(intent, main.request), main.language, main.tenant)
        status, output, failure = 200, None, None
        try:
            done = await self._skills.carry_out(intent, asked)
            status, output = done.status, done.body
        except ServiceError as error:
            status, failure = int(error.status), error.detail
        except Exception:
            log.exception("branch_failed", intent=intent)  # a bug here must not fail the answer
            status, failure = 500, "Something went wrong in this branch."
        branches[intent] = Branch(
            status=status,
            latency_ms=_ms(time.monotonic() - started),
            service=self._skills.service_of(intent),
            output=output,
            error=failure,
        )


def _slots(intent: Intent, request: AssistRequest) -> dict[str, Any]:
    """Find what an intent needs that the caller chose: the text itself if nothing else is found."""
    found = slots_of(
        intent,
        request.text,
        has_context=request.context is not None,
        images=len(request.images),
    )
    whole = WHOLE_TEXT.get(intent)
    return found if whole is None or found.get(whole) else found | {whole: request.text}


def _question_back(route: RouteAnswer) -> Output:
    closest = [choice.intent for choice in route.alternatives[:2]]
    text = replies.question_back(route.language, closest)
    return Output({"text": text, "intents": closest})


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
