"""OpenAI's API as its clients speak it: models, and errors as they read them."""

import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from kit.app import from_lifespan
from kit.errors import BadRequest, NotFound, ServiceError, Unprocessable
from services.gateway.dialects.openai_schemas import Model, Models
from services.gateway.limits import Tenant, documented
from services.gateway.upstreams import Upstreams

OURS = "switchboard"
OUR_NAMES = {OURS, "dummy", ""}  # Hugging Face's client sends `dummy` when no model is named
LISTING_SECONDS = 2.0
STARTED = int(time.time())

UpstreamsDep = Annotated[Upstreams, from_lifespan("upstreams")]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenAIRoute(APIRoute):
    """Refuses a wrong body with 400, as OpenAI's clients expect: 422 means something else there."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler with its refusals translated."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                raise _wrong_body(error) from None
            except ServiceError as error:
                raise in_their_status(error) from None

        return handle


def in_their_status(error: ServiceError) -> ServiceError:
    """Return the same refusal under the status that OpenAI gives it."""
    if error.status != Unprocessable.status:
        return error
    return BadRequest(error.detail, errors=error.errors, code=error.code)


def _wrong_body(error: RequestValidationError) -> BadRequest:
    lines = [
        {
            "field": ".".join(str(part) for part in line["loc"][1:]) or "body",
            "in": str(line["loc"][0]),
            "message": line["msg"],
            "kind": line["type"],
        }
        for line in error.errors()
    ]
    if any(line["kind"] == "json_invalid" for line in lines):
        return BadRequest("The body is not valid JSON.")
    said = "; ".join(f"{line['field']}: {line['message']}" for line in lines[:3])
    return BadRequest(said, errors=lines)


def wrong(field: str, message: str, code: str | None = None) -> BadRequest:
    """Return a refusal of one field."""
    line = {"field": field, "in": "body", "message": message, "kind": "value_error"}
    return BadRequest(f"{field}: {message}", errors=[line], code=code)


def no_such_model(name: str) -> NotFound:
    """Return the refusal of a model's name."""
    said = f"The model `{name}` does not exist here; GET /v1/models lists those that do."
    return NotFound(said, code="model_not_found")


router = APIRouter(tags=["openai"], dependencies=documented, route_class=OpenAIRoute)


@router.get("/v1/models", summary="Which models may be named?")
async def models(upstreams: UpstreamsDep, _: Tenant) -> Models:
    """List `switchboard`, which routes, and what the language model's server lists."""
    return Models(data=await _models(upstreams))


@router.get("/v1/models/{name:path}", summary="Is there such a model?")
async def model(name: str, upstreams: UpstreamsDep, _: Tenant) -> Model:
    """Return one model."""
    for known in await _models(upstreams):
        if known.id == name:
            return known
    raise no_such_model(name)


async def _models(upstreams: Upstreams) -> list[Model]:
    ours = Model(id=OURS, created=STARTED)
    if upstreams.language_model is None:
        return [ours]
    theirs = [{"id": upstreams.language_model.name}]
    with anyio.move_on_after(LISTING_SECONDS):
        theirs = await upstreams.language_model.models()
    rest = [Model(**({"owned_by": "llm", "created": STARTED} | entry)) for entry in theirs]
    return [ours, *(entry for entry in rest if entry.id != OURS)]


def absolute(request: Request, path: str) -> str:
    """Return an address of this gateway as the caller reaches it."""
    return str(request.base_url).rstrip("/") + path
