"""What each intent does: one call to one service, in that service's own words."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import anyio

from kit.client import ServiceClient
from kit.errors import Conflict, NotReady, ServiceError, Unprocessable, UpstreamFailed
from services.gateway import replies
from services.gateway.events import MEDIA_TYPE, Emit, Event, received
from services.gateway.intents_schemas import OwnIntent
from services.gateway.language_model import LanguageModel
from services.gateway.schemas import AssistRequest, Intent, Language
from services.gateway.settings import Settings
from services.gateway.upstreams import LANGUAGE_MODEL, Upstreams

SERVICES: dict[Intent, str] = {
    "draw": "imagegen",
    "blend": "imagegen",
    "classify": "classifier",
    "answer": "qa",
    "ask": "rag",
    "write": LANGUAGE_MODEL,
    "chat": LANGUAGE_MODEL,
}
OVER = ("done", "failed", "cancelled")
RECONNECT_SECONDS = 0.2
CANCEL_SECONDS = 2.0

Job = dict[str, Any]


async def nobody_listens(_name: str, _data: Any) -> None:
    """Drop an event."""


@dataclass(frozen=True)
class Asked:
    """One intent to carry out, with everything that its skill may need."""

    request: AssistRequest
    slots: Mapping[str, Any]
    language: Language
    tenant: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the caller tells the service directly."""
    idempotency_key: str | None = None
    patience_seconds: float = 0.0
    """How long to wait for a picture; 0 answers with the waiting job."""
    emit: Emit = nobody_listens
    generation: Mapping[str, Any] = field(default_factory=dict)
    """How the language model shall write; no other service is told."""

    @property
    def headers(self) -> dict[str, str]:
        """Return what a service must know about the caller."""
        return {"X-Tenant": self.tenant}

    def order(self, **fields: Any) -> dict[str, Any]:
        """Return a service's request: the fields that are known, then the caller's own options."""
        known = {name: value for name, value in fields.items() if value is not None}
        return known | dict(self.options)

    def needed(self, slot: str, wish: str) -> Any:
        """Return a slot's value, or refuse with a sentence that asks for it."""
        return self.slots.get(slot) or _ask_for("text", wish)


@dataclass(frozen=True)
class Output:
    """A service's answer, and the status and address that go with it."""

    body: Any
    status: int = 200
    location: str | None = None


def _ask_for(field: str, wish: str) -> NoReturn:
    line = {"field": field, "in": "body", "message": wish, "kind": "missing"}
    raise Unprocessable(f"{field}: {wish}", errors=[line])


class Skills:
    """Carries intents out; each method is one intent."""

    def __init__(self, upstreams: Upstreams, settings: Settings) -> None:
        self._upstreams = upstreams
        self._settings = settings
        self._by_intent: dict[Intent, Callable[[Asked], Awaitable[Output]]] = {
            "draw": self._draw,
            "blend": self._blend,
            "classify": self._classify,
            "answer": self._answer,
            "ask": self._ask,
            "write": self._write,
            "chat": self._chat,
        }

    def service_of(self, intent: Intent) -> str:
        """Return who carries it out."""
        alone = intent == "chat" and self._upstreams.language_model is None
        return "gateway" if alone else SERVICES[intent]

    async def carry_out(self, intent: Intent, asked: Asked) -> Output:
        """Do it; raises the service's own problem, or Unprocessable when something is missing."""
        return await self._by_intent[intent](asked)

    async def carry_out_own(self, intent: OwnIntent, asked: Asked) -> Output:
        """Send a tenant's own intent to its path; raises the service's own problem."""
        body = intent.filled(
            text=asked.request.text, context=asked.request.context or "", language=asked.language
        )
        order = body | dict(asked.options) if isinstance(body, dict) else body
        return await self._json(intent.service, intent.path, order, asked)

    async def _draw(self, asked: Asked) -> Output:
        prompt = asked.needed("subject", "Say what the picture should show.")
        return await self._picture("/v1/images", asked.order(prompt=prompt), asked)

    async def _blend(self, asked: Asked) -> Output:
        prompt = asked.slots.get("prompt")
        order = asked.order(sources=_sources(asked, prompt), prompt=prompt)
        return await self._picture("/v1/blends", order, asked)

    async def _classify(self, asked: Asked) -> Output:
        text = asked.slots.get("text") or asked.request.context
        text = text or _ask_for("context", "Send the text whose emotion you want to know.")
        return await self._json("classifier", "/v1/classify", asked.order(texts=[text]), asked)

    async def _answer(self, asked: Asked) -> Output:
        question = asked.needed("question", "Ask a question about the context.")
        context = asked.request.context or asked.slots.get("context")
        context = context or _ask_for("context", "Send the text to look for the answer in.")
        order = asked.order(question=question, context=context)
        return await self._json("qa", "/v1/answer", order, asked)

    async def _ask(self, asked: Asked) -> Output:
        question = asked.needed("question", "Ask the knowledge base a question.")
        collection = asked.request.collection or self._settings.default_collection
        order = asked.order(question=question, conversation_id=asked.request.conversation_id)
        return await self._json("rag", f"/v1/collections/{collection}/ask", order, asked)

    async def _write(self, asked: Asked) -> Output:
        instruction = asked.needed("instruction", "Say what to write.")
        if self._upstreams.language_model is None:
            raise NotReady("Writing needs a language model: set GATEWAY_LLM_URL.")
        context = asked.request.context
        prompt = f"{instruction}\n\n{context}" if context else instruction
        return await self._complete(self._upstreams.language_model, prompt, asked)

    async def _chat(self, asked: Asked) -> Output:
        if self._upstreams.language_model is not None:
            said = asked.slots.get("text") or asked.request.text
            return await self._complete(self._upstreams.language_model, said, asked)
        ready = await self._upstreams.ready_names()
        able = {intent for intent, service in SERVICES.items() if service in ready}
        return Output({"text": replies.description(asked.language, able)})

    async def _json(self, service: str, path: str, order: Any, asked: Asked) -> Output:
        upstream = self._upstreams[service]
        only_computes = service in ("classifier", "qa")
        answer = await upstream.call(
            "POST", path, json=order, headers=asked.headers, is_repeatable=only_computes
        )
        return Output(answer)

    async def _complete(self, model: LanguageModel, prompt: str, asked: Asked) -> Output:
        """Have the language model go on with the conversation; stream it where someone listens."""
        earlier = [message.model_dump() for message in asked.request.history]
        messages = [*earlier, {"role": "user", "content": prompt}]
        options = {**asked.generation, **asked.options}
        if asked.emit is nobody_listens:
            return Output((await model.complete(messages, options)).output())
        return Output((await model.stream(messages, options, asked.emit)).output())

    async def _picture(self, path: str, order: Any, asked: Asked) -> Output:
        """Order a picture, and wait for it as long as the caller does."""
        imagegen = self._upstreams["imagegen"]
        key = asked.idempotency_key
        headers = asked.headers | ({"Idempotency-Key": key} if key else {})
        response = await imagegen.request("POST", path, json=order, headers=headers)
        job: Job = imagegen.parsed(response)
        location = response.headers.get("location", f"/v1/images/{job['id']}")
        if asked.patience_seconds:
            await asked.emit("progress", job)
            job = await _awaited(imagegen, location, asked) or job
        if job["status"] == "failed":
            raise UpstreamFailed(f"The picture could not be painted: {job.get('error')}.")
        if job["status"] == "cancelled":
            raise Conflict("The picture was cancelled.")
        return Output(job, 200 if job["status"] == "done" else 202, location)


def _sources(asked: Asked, prompt: str | None) -> list[dict[str, Any]]:
    """Return the weighted pictures of a blend; one is enough if words come with it."""
    parts = [picture.model_dump(mode="json", exclude_none=True) for picture in asked.request.images]
    if len(parts) < (1 if prompt else 2):
        _ask_for("images", "Send the pictures to mix, two at least.")
    weights = asked.slots.get("weights") or [1 / len(parts)] * len(parts)
    if len(weights) != len(parts):
        _ask_for("images", f"The text weighs {len(weights)} pictures and {len(parts)} are given.")
    return [part | {"weight": weight} for part, weight in zip(parts, weights, strict=True)]


async def _awaited(imagegen: ServiceClient, location: str, asked: Asked) -> Job | None:
    """Return the finished job, or None when patience runs out first.

    A caller who hangs up cancels the picture, unless an idempotency key lets them come back for it.
    """
    try:
        with anyio.move_on_after(asked.patience_seconds):
            return await _finished(imagegen, location, asked)
    except anyio.get_cancelled_exc_class():
        if asked.idempotency_key is None:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CANCEL_SECONDS):
                await imagegen.request("DELETE", location, headers=asked.headers)
        raise
    except ServiceError:  # the job is accepted and kept; only this look at it failed
        return None
    return None


async def _finished(imagegen: ServiceClient, location: str, asked: Asked) -> Job:
    """Follow the job's events until it is over; a stream that breaks off is taken up again."""
    headers = asked.headers | {"Accept": MEDIA_TYPE}
    while True:
        async with imagegen.stream("GET", f"{location}/events", headers=headers) as stream:
            if not stream.is_success:
                raise UpstreamFailed(f"The job's events answered {stream.status_code}.")
            async for event in received(stream.aiter_lines()):
                headers |= {"Last-Event-ID": event.id} if event.id else {}
                await _tell(event, asked.emit)
        job: Job = await imagegen.call("GET", location, headers=asked.headers)
        if job["status"] in OVER:
            return job
        await anyio.sleep(RECONNECT_SECONDS)


async def _tell(event: Event, emit: Emit) -> None:
    """Pass a job's event on; the last one is left to the result, which follows it."""
    if event.name in ("progress", "preview"):
        await emit(event.name, event.data)
    elif event.name not in OVER:
        await emit("progress", {"status": event.name})
