"""The gateway's own endpoints, and the services' paths passed on."""

import math
import re
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from kit import deadline
from kit.app import from_lifespan
from kit.errors import NotReady, ServiceError, problem_of
from services.gateway.assist import Assistant, Caller
from services.gateway.events import MEDIA_TYPE, Emit, EventStream
from services.gateway.keys import DEFAULT_TENANT
from services.gateway.limits import Tenant, documented
from services.gateway.schemas import AssistAnswer, AssistRequest, RouteAnswer, Services
from services.gateway.upstreams import PAGES, Forwarded, Upstreams, owned, owner

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})\b")
ANSWER_SECONDS = 0.25  # kept of the budget, to say that the picture is not ready yet

AssistantDep = Annotated[Assistant, from_lifespan("assistant")]
UpstreamsDep = Annotated[Upstreams, from_lifespan("upstreams")]

router = APIRouter(tags=["gateway"], dependencies=documented)


@router.post("/v1/route", summary="What would be done?")
async def route(body: AssistRequest, assistant: AssistantDep, tenant: Tenant) -> RouteAnswer:
    """Say what the text wants, how sure that is and why; nothing is run."""
    return await assistant.route(body, tenant, explained=True)


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
        math.inf if is_stream else patience(float(wait[1]) if wait else 0.0),
    )
    if is_stream:
        return EventStream(lambda emit: _stream(body, request, assistant, caller, emit))
    answer, output = await assistant.assist(body, caller)
    headers = {"Location": output.location} if output.location else {}
    if wait:
        headers["Preference-Applied"] = f"wait={wait[1]}"
    return JSONResponse(answer.model_dump(mode="json"), output.status, headers)


def patience(wanted_seconds: float) -> float:
    """Return how long to wait for a picture, within the request's time budget."""
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


class PassedOn(BaseRoute):
    """Every path of a service, found in one look and passed on without the framework's own work."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what belongs to a service."""
        is_ours = scope["type"] == "http" and owner(scope["path"]) is not None
        return (Match.FULL, {}) if is_ours else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the service, under the caller's tenant."""
        prefix, service = owned(scope["path"])
        scope["route"] = _Labelled(prefix)
        upstreams: Upstreams | None = scope["app"].state.resources.get("upstreams")
        if upstreams is None:
            raise NotReady(f"The service is not ready: {scope['app'].state.health.reason}.")
        request = Request(scope, receive, send)
        headers = {"X-Tenant": scope["state"].get("tenant", DEFAULT_TENANT)}
        if service in PAGES:
            headers |= _outer_address(request)
        await Forwarded(request, upstreams[service], headers)(scope, receive, send)


def _outer_address(request: Request) -> dict[str, str]:
    """Return what a page must know of its address; a proxy before this one knows better."""
    outer = {"X-Forwarded-Proto": request.url.scheme}
    if host := request.headers.get("host"):
        outer["X-Forwarded-Host"] = host
    return {name: value for name, value in outer.items() if name not in request.headers}


class _Labelled(NamedTuple):
    """What the metrics call a passed on path."""

    path: str
