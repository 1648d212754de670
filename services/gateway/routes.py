"""The gateway's own endpoints, and the services' paths passed on."""

import math
import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import JSONResponse, Response

from kit import deadline
from kit.app import from_lifespan
from kit.errors import ServiceError, problem_of
from services.gateway.assist import Assistant, Caller
from services.gateway.events import MEDIA_TYPE, Emit, EventStream
from services.gateway.limits import DEFAULT_TENANT, Tenant
from services.gateway.schemas import AssistAnswer, AssistRequest, RouteAnswer, Services
from services.gateway.upstreams import PAGES, PATHS, Forwarded, Upstreams

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})\b")
ANSWER_SECONDS = 0.25  # kept of the budget, to say that the picture is not ready yet

AssistantDep = Annotated[Assistant, from_lifespan("assistant")]
UpstreamsDep = Annotated[Upstreams, from_lifespan("upstreams")]

router = APIRouter(tags=["gateway"])
passed_on = APIRouter(include_in_schema=False)


@router.post("/v1/route", summary="What would be done?")
async def route(body: AssistRequest, assistant: AssistantDep, _: Tenant) -> RouteAnswer:
    """Say what the text wants, how sure that is and why; nothing is run."""
    return await assistant.route(body)


@router.post(
    "/v1/assist",
    summary="Do what the text asks for",
    response_model=AssistAnswer,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
        202: {"model": AssistAnswer, "description": "The picture waits; `Location` is its job."},
    },
)
async def assist(
    body: AssistRequest,
    request: Request,
    assistant: AssistantDep,
    tenant: Tenant,
    accept: Annotated[str, Header(description=f"`{MEDIA_TYPE}` streams the progress")] = "",
    prefer: Annotated[str, Header(description="`wait=N` waits up to N s for a picture")] = "",
    idempotency_key: Annotated[str | None, Header(pattern=r"^[\x21-\x7e]{1,200}$")] = None,
) -> Response:
    """Route the text to the right service and return its answer.

    A picture is answered with 202 and its job, or waited for with `Prefer: wait=N`. With
    `Accept: text/event-stream` the events `route`, `progress`, `preview` and `result` follow each
    other as they happen, or `error` with a problem.
    """
    wait = WAIT.search(prefer)
    is_stream = MEDIA_TYPE in accept
    caller = Caller(
        tenant,
        request.state.request_id,
        idempotency_key,
        math.inf if is_stream else _patience(float(wait[1]) if wait else 0.0),
    )
    if is_stream:
        return EventStream(lambda emit: _stream(body, request, assistant, caller, emit))
    answer, output = await assistant.assist(body, caller)
    headers = {"Location": output.location} if output.location else {}
    if wait:
        headers["Preference-Applied"] = f"wait={wait[1]}"
    return JSONResponse(answer.model_dump(mode="json"), output.status, headers)


def _patience(wanted_seconds: float) -> float:
    limit = deadline.current()
    left = limit.remaining_seconds - ANSWER_SECONDS if limit else math.inf
    return max(0.0, min(wanted_seconds, left))


async def _stream(
    body: AssistRequest, request: Request, assistant: Assistant, caller: Caller, emit: Emit
) -> None:
    try:
        answer, _ = await assistant.assist(body, caller, emit)
    except ServiceError as error:
        await emit("error", problem_of(request.scope, error))
        return
    await emit("result", answer.model_dump(mode="json"))


@router.get("/v1/services", summary="Which services take work?")
async def services(upstreams: UpstreamsDep, _: Tenant) -> Services:
    """Ask every service behind the gateway for its readiness."""
    return Services(services=await upstreams.states())


def _pass_on(service: str) -> Callable[..., Awaitable[Response]]:
    async def pass_on(request: Request, upstreams: UpstreamsDep, tenant: Tenant) -> Response:
        return Forwarded(request, upstreams[service], tenant)

    async def pass_on_without_key(request: Request, upstreams: UpstreamsDep) -> Response:
        return Forwarded(request, upstreams[service], DEFAULT_TENANT)

    return pass_on_without_key if service in PAGES else pass_on


for _service, _prefixes in PATHS.items():
    for _prefix in _prefixes:
        passed_on.add_api_route(_prefix, _pass_on(_service), methods=METHODS)
        passed_on.add_api_route(f"{_prefix}/{{rest:path}}", _pass_on(_service), methods=METHODS)
