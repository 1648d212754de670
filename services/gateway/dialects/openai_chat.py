"""`POST /v1/chat/completions`: the last message is understood and done, the others are its history."""

import math
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from kit import dialects
from kit.errors import DeadlineExceeded, ServiceError, problem_of
from services.gateway.assist import Assistant, Caller
from services.gateway.dialects.openai import (
    OUR_NAMES,
    OURS,
    OpenAIRoute,
    absolute,
    in_their_status,
    no_such_model,
    wrong,
)
from services.gateway.dialects.openai_schemas import (
    Answered,
    ChatChoice,
    ChatCompletion,
    ChatRequest,
    Turn,
    Usage,
)
from services.gateway.dialects.openai_words import message_of
from services.gateway.dialects.painting import Painting, PaintingDep
from services.gateway.events import MEDIA_TYPE, TextStream, Write, frame
from services.gateway.limits import Tenant, documented
from services.gateway.routes import AssistantDep, UpstreamsDep, patience
from services.gateway.schemas import AssistAnswer, AssistRequest
from services.gateway.upstreams import Forwarded

PAINTED = re.compile(r"/v1/images/[0-9a-zA-Z_-]+/pictures/\d+$")
NOT_FOR_THE_WRITER = set(ChatRequest.model_fields) | {"user", "metadata", "store", "options"}
ROLES = {"developer": "system"}  # newer names of what servers know under older ones
END = "data: [DONE]\n\n"

router = APIRouter(tags=["openai"], dependencies=documented, route_class=OpenAIRoute)


@router.post(
    "/v1/chat/completions",
    summary="Do what the last message asks for, in OpenAI's words",
    response_model=ChatCompletion,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def chat(
    body: ChatRequest,
    request: Request,
    assistant: AssistantDep,
    upstreams: UpstreamsDep,
    painting: PaintingDep,
    tenant: Tenant,
) -> Response:
    """Route the last message as `/v1/assist` does and answer as the assistant.

    A picture comes as a markdown image and as `images`, an answer of the knowledge base with
    `citations`; earlier messages are read by whoever writes and chats. `switchboard` says what was
    understood. A model other than `switchboard` is the language model's: the request is passed on.
    """
    if body.model not in OUR_NAMES:
        if upstreams.language_model is None:
            raise no_such_model(body.model)
        model = upstreams.language_model
        return Forwarded(
            request, model.client, model.headers, target=model.target, body=await request.body()
        )
    wish = _wish(body)
    caller = Caller(
        tenant,
        request.state.request_id,
        patience_seconds=math.inf if body.stream else patience(math.inf),
        generation=_generation(body),
    )
    reply = _Reply(body, wish, request, assistant, painting, caller)
    return TextStream(reply.stream) if body.stream else await reply.whole()


def _wish(body: ChatRequest) -> AssistRequest:
    """Return what the last message asks for."""
    if body.n not in (None, 1):
        raise wrong("n", "only one answer is given")
    if body.tools:
        raise wrong("tools", f"`{OURS}` chooses its own; name a language model to use yours")
    last = body.messages[-1]
    if last.role != "user":
        raise wrong("messages", "the last message must be the user's")
    text = _text(last).strip()
    if not text:
        raise wrong("messages", "the last message has no text")
    conversation = body.conversation_id or _conversation(body.messages)
    try:
        return AssistRequest.model_validate(
            {
                "text": text,
                "images": [
                    _image(part) for part in _parts(last) if part.get("type") == "image_url"
                ],
                "collection": body.collection,
                "conversation_id": conversation,
                "history": [_turn(turn) for turn in body.messages[:-1] if _text(turn).strip()],
                "options": (body.model_extra or {}).get("options") or {},
            }
        )
    except ValidationError as error:
        found = error.errors()[0]
        too_long = found["type"] == "string_too_long"
        code = "context_length_exceeded" if too_long else None
        raise wrong("messages", str(found["msg"]), code) from None


def _parts(turn: Turn) -> list[dict[str, Any]]:
    return turn.content if isinstance(turn.content, list) else []


def _text(turn: Turn) -> str:
    if isinstance(turn.content, str):
        return turn.content
    texts = (part.get("text") for part in _parts(turn) if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _turn(turn: Turn) -> dict[str, str]:
    return {"role": ROLES.get(turn.role, turn.role), "content": _text(turn)}


def _conversation(messages: list[Turn]) -> str | None:
    """Return the newest conversation that an earlier answer named, for clients that send it back."""
    named = ((turn.model_extra or {}).get("conversation_id") for turn in reversed(messages))
    return next((str(name) for name in named if name), None)


def _image(part: dict[str, Any]) -> dict[str, str]:
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if isinstance(url, str) and url.startswith("data:"):
        return {"url": url}
    if isinstance(url, str) and (painted := PAINTED.search(url)):
        return {"picture": painted[0]}
    raise wrong("messages", "a picture must be a `data:` URL or one that was painted here")


def _generation(body: ChatRequest) -> dict[str, Any]:
    """Return what is meant for whoever writes: temperature, max_tokens and the like."""
    extras = body.model_extra or {}
    return {name: value for name, value in extras.items() if name not in NOT_FOR_THE_WRITER}


class _Reply:
    """One answer, whole or in pieces."""

    def __init__(
        self,
        body: ChatRequest,
        wish: AssistRequest,
        request: Request,
        assistant: Assistant,
        painting: Painting,
        caller: Caller,
    ) -> None:
        self._body = body
        self._wish = wish
        self._request = request
        self._assistant = assistant
        self._painting = painting
        self._caller = caller
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._has_begun = False
        self._has_spoken = False

    async def whole(self) -> Response:
        """Return the whole answer."""
        answer, output = await self._assistant.assist(self._wish, self._caller)
        if output.status == 202:
            said = f"The picture is not ready yet; its job goes on at {output.location}."
            raise DeadlineExceeded(said)
        message = await self._message(answer)
        completion = ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._body.model or OURS,
            choices=[ChatChoice(message=message, finish_reason=_reason(answer))],
            usage=_usage(answer),
            switchboard=_understood(answer),
        )
        return JSONResponse(completion.model_dump(exclude_none=True))

    async def stream(self, write: Write) -> None:
        """Write the answer as chunks; a failure after the first of them is one as well."""

        async def send(text: str) -> None:
            self._has_begun = True
            await write(text)

        async def emit(name: str, data: Any) -> None:
            if name == "token":
                await send(self._chunk(self._delta(data["text"])))
            elif name == "progress":  # a comment, which clients skip, keeps the line alive
                await send(": progress\n\n")

        try:
            answer, _ = await self._assistant.assist(self._wish, self._caller, emit)
            if not self._has_spoken:
                message = (await self._message(answer)).model_dump(exclude_none=True)
                await send(self._chunk(message | self._delta(message["content"])))
            understood = {"switchboard": _understood(answer)}
            await send(self._chunk({}, finish_reason=_reason(answer), **understood))
            if (self._body.stream_options or {}).get("include_usage"):
                usage = _usage(answer).model_dump()
                await send(self._chunk(None, usage=usage))
            await send(END)
        except ServiceError as error:
            if not self._has_begun:
                raise in_their_status(error) from None
            await send(frame(dialects.openai(problem_of(self._request.scope, error))))

    async def _message(self, answer: AssistAnswer) -> Answered:
        return await message_of(
            answer, self._painting.encoded, lambda path: absolute(self._request, path)
        )

    def _delta(self, text: str) -> dict[str, Any]:
        first = {} if self._has_spoken else {"role": "assistant"}
        self._has_spoken = True
        return {**first, "content": text}

    def _chunk(
        self, delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any
    ) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return frame(
            {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._body.model or OURS,
                "choices": [] if delta is None else [choice],
                **more,
            }
        )


def _reason(answer: AssistAnswer) -> str:
    return str(answer.output.get("finish_reason") or "stop")


def _usage(answer: AssistAnswer) -> Usage:
    """Return what the language model counted; nothing was spent where none was asked."""
    counted = answer.output.get("usage")
    return Usage.model_validate(counted) if isinstance(counted, dict) else Usage()


def _understood(answer: AssistAnswer) -> dict[str, Any]:
    return answer.model_dump(
        mode="json", include={"intent", "confidence", "language", "service", "slots", "request_id"}
    )
