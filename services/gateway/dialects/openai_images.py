"""`POST /v1/images/generations`: a picture is painted, waited for and handed over."""

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from kit import dialects
from kit.errors import ServiceError, problem_of
from services.gateway.dialects.openai import OpenAIRoute, absolute, in_their_status, wrong
from services.gateway.dialects.openai_schemas import Image, ImagesAnswer, ImagesRequest
from services.gateway.dialects.painting import Painting, PaintingDep
from services.gateway.events import MEDIA_TYPE, TextStream, Write, frame
from services.gateway.limits import documented

MAX_PROMPT_CHARS = 2000
NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
"""No language model reads the prompt."""

router = APIRouter(tags=["openai"], dependencies=documented, route_class=OpenAIRoute)


@router.post(
    "/v1/images/generations",
    summary="Paint a picture, in OpenAI's words",
    response_model=ImagesAnswer,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def generate(body: ImagesRequest, request: Request, painting: PaintingDep) -> Response:
    """Paint and wait, as long as the request's time budget; a caller who hangs up cancels it.

    With `stream`, the events `image_generation.partial_image` (at most `partial_images` of them)
    come while it is painted and `image_generation.completed` once for each picture.
    """
    order = _order(body)
    if body.stream:
        return TextStream(_Stream(body, order, request, painting))
    pictures = await painting.paint(body.prompt, order)
    data = [
        Image(url=absolute(request, picture["url"]))
        if body.response_format == "url"
        else Image(b64_json=await painting.encoded(picture["url"]))
        for picture in pictures
    ]
    answer = ImagesAnswer(created=int(time.time()), data=data, size=_size(pictures[0]))
    return JSONResponse(answer.model_dump(exclude_none=True))


def _order(body: ImagesRequest) -> dict[str, Any]:
    """Return the painter's fields."""
    if len(body.prompt) > MAX_PROMPT_CHARS:
        raise wrong("prompt", f"at most {MAX_PROMPT_CHARS} characters")
    order = dict(body.model_extra or {})
    if body.size is not None and body.size != "auto":
        width, _, height = body.size.partition("x")
        order |= {"width": int(width), "height": int(height)}
    return order | {"count": body.n or 1}


def _size(picture: dict[str, Any]) -> str:
    return f"{picture['width']}x{picture['height']}"


class _Stream:
    """Tells one painting as OpenAI's events."""

    def __init__(
        self, body: ImagesRequest, order: dict[str, Any], request: Request, painting: Painting
    ) -> None:
        self._body = body
        self._order = order
        self._request = request
        self._painting = painting
        self._has_begun = False
        self._shown = 0

    async def __call__(self, write: Write) -> None:
        async def send(text: str) -> None:
            self._has_begun = True
            await write(text)

        async def emit(name: str, data: Any) -> None:
            if name == "preview" and self._shown < (self._body.partial_images or 0):
                await send(self._partial(data))
            elif name == "progress":  # a comment, which clients skip, keeps the line alive
                await send(": progress\n\n")

        try:
            pictures = await self._painting.paint(
                self._body.prompt, self._order, emit, is_stream=True
            )
            for picture in pictures:
                file = await self._painting.encoded(picture["url"])
                part = {"b64_json": file, "size": _size(picture), "usage": NO_TOKENS}
                await send(_event("image_generation.completed", part))
        except ServiceError as error:
            if not self._has_begun:
                raise in_their_status(error) from None
            said = dialects.openai(problem_of(self._request.scope, error))
            await send(frame(said, "error"))

    def _partial(self, preview: dict[str, Any]) -> str:
        part = {
            "b64_json": str(preview.get("image", "")).partition(",")[2],
            "partial_image_index": self._shown,
            "size": self._body.size or "auto",
        }
        self._shown += 1
        return _event("image_generation.partial_image", part)


def _event(kind: str, part: dict[str, Any]) -> str:
    about = {"created_at": int(time.time()), "output_format": "png"}
    return frame({"type": kind, **about, "background": "opaque", "quality": "auto", **part}, kind)
