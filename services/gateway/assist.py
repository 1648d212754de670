"""From free text to an answer: route it, carry it out, and run what was asked for besides."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import anyio
import structlog

from kit.errors import NotFound, ServiceError, Unprocessable
from services.gateway import replies
from services.gateway.decisions import decided, own_answer, slots_for
from services.gateway.escalation import Case, Escalations, is_support
from services.gateway.events import Emit
from services.gateway.few_shot import Vectoriser
from services.gateway.intents_schemas import OwnIntent
from services.gateway.keys import DEFAULT_TENANT
from services.gateway.own_intents import OwnIntents
from services.gateway.router import UNCLEAR, Route, RouteRequest
from services.gateway.schemas import (
    AssistAnswer,
    AssistRequest,
    Branch,
    Escalation,
    Intent,
    RouteAnswer,
    Timings,
)
from services.gateway.skills import SERVICES, Asked, Output, Skills, nobody_listens

EMOTION_SECONDS = 1.0  # an emotion that nobody asked for may not hold an answer up longer

log = structlog.get_logger(__name__)


class IntentRouter(Vectoriser, Protocol):
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

    def __init__(
        self,
        router: IntentRouter,
        skills: Skills,
        own: OwnIntents | None = None,
        escalations: Escalations | None = None,
    ) -> None:
        self._router = router
        self._skills = skills
        self._own = own
        self._escalations = escalations

    async def route(
        self, request: AssistRequest, tenant: str = DEFAULT_TENANT, *, explained: bool = False
    ) -> RouteAnswer:
        """Say what would be done, without doing it; `explained` names the nearest known phrases.

        Raises Unprocessable when the request names an intent that the tenant does not have.
        """
        wish = RouteRequest(
            request.text, request.context is not None, len(request.images), explained
        )
        route = await asyncio.to_thread(self._router.route, wish)
        forced = request.options.intent
        if forced is None:
            own = await self._own.match(tenant, request.text) if self._own else None
            return own_answer(route, *own) if own else self._answer(route, request, None)
        if forced in SERVICES:
            return self._answer(route, request, forced)
        return own_answer(route, await self._named(tenant, forced), None)

    def _answer(self, route: Route, request: AssistRequest, forced: Intent | None) -> RouteAnswer:
        answer = decided(route, request, forced)
        if answer.intent != UNCLEAR:
            answer.service = self._skills.service_of(cast("Intent", answer.intent))
        return answer

    async def _named(self, tenant: str, name: str) -> OwnIntent:
        try:
            if self._own is not None:
                return await self._own.get(tenant, name)
        except NotFound:
            pass
        line = {"field": "options.intent", "in": "body", "message": "is not known", "kind": "enum"}
        raise Unprocessable(f"There is no intent {name}.", errors=[line])

    async def assist(
        self, request: AssistRequest, caller: Caller, emit: Emit = nobody_listens
    ) -> tuple[AssistAnswer, Output]:
        """Route and carry out; returns the answer, and the main branch's status and location.

        Raises the chosen service's problem, or Unprocessable when the text lacks something.
        """
        started = time.monotonic()
        route = await self.route(request, caller.tenant)
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
        escalation = self._escalation(route, request, caller, output, branches)
        done = time.monotonic()
        answer = AssistAnswer(
            **route.model_dump(include={"intent", "confidence", "language", "service", "slots"}),
            output=output.body,
            branches=branches,
            escalate=escalation is not None,
            escalation=escalation,
            timings=Timings(
                route_ms=_ms(routed - started),
                service_ms=_ms(done - routed),
                total_ms=_ms(done - started),
            ),
            request_id=caller.request_id,
        )
        return answer, output

    async def _carry_out(self, intent: str, main: Asked) -> tuple[Output, dict[str, Branch]]:
        """Run the main intent and, beside it, the further ones."""
        branches: dict[str, Branch] = {}
        outcome: Output | ServiceError
        async with anyio.create_task_group() as group:
            for other in dict.fromkeys(main.request.also):
                if other != intent:
                    group.start_soon(self._branch, other, main, branches, is_support(intent))
            if self._wants_emotion(intent, main):
                group.start_soon(self._emotion, main, branches)
            try:
                outcome = await self._main(intent, main)
            except ServiceError as error:
                outcome = error  # raised outside, free of the group
                group.cancel_scope.cancel()
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome, branches

    async def _main(self, intent: str, main: Asked) -> Output:
        if intent in SERVICES:
            return await self._skills.carry_out(intent, main)
        return await self._skills.carry_out_own(await self._named(main.tenant, intent), main)

    def _wants_emotion(self, intent: str, main: Asked) -> bool:
        """Tell whether to look at the emotion unasked: someone may have to take over."""
        is_told = self._escalations is not None and self._escalations.wants_emotion
        return is_told and is_support(intent) and "classify" not in main.request.also

    async def _emotion(self, main: Asked, branches: dict[str, Branch]) -> None:
        with anyio.move_on_after(EMOTION_SECONDS):
            await self._branch("classify", main, branches, True)

    def _escalation(
        self,
        route: RouteAnswer,
        request: AssistRequest,
        caller: Caller,
        output: Output,
        branches: Mapping[str, Branch],
    ) -> Escalation | None:
        if self._escalations is None:
            return None
        case = Case(
            caller.tenant,
            caller.request_id,
            request.text,
            route.language,
            request.conversation_id,
            route.intent,
            output.body,
        )
        return self._escalations.judge(case, branches)

    async def _branch(
        self, intent: Intent, main: Asked, branches: dict[str, Branch], is_own_words: bool
    ) -> None:
        started = time.monotonic()
        slots = slots_for(intent, main.request)
        if intent == "classify" and is_own_words:
            slots = {
                "text": main.request.text
            }  # how the person feels, not a text of someone else's
        # The options and the patience are meant for the main intent.
        asked = Asked(main.request, slots, main.language, main.tenant)
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


def _question_back(route: RouteAnswer) -> Output:
    closest = [choice.intent for choice in route.alternatives[:2]]
    text = replies.question_back(route.language, closest)
    return Output({"text": text, "intents": closest})


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
