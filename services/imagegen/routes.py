"""The HTTP face: parse, call, return."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from kit.app import Tenant, from_lifespan
from kit.errors import Overloaded, ServiceError
from services.imagegen.orders import Orders
from services.imagegen.queue import Jobs
from services.imagegen.schemas import BlendRequest, DrawRequest, JobView
from services.imagegen.values import Event, Job

router = APIRouter(tags=["images"])

OrdersDep = Annotated[Orders, from_lifespan("orders")]
JobsDep = Annotated[Jobs, from_lifespan("jobs")]
StreamsDep = Annotated[asyncio.Semaphore, from_lifespan("streams")]
JobId = Annotated[str, Path(max_length=64, description="The job's id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any string of the client's; repeating it repeats no work.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(pattern=r"^\d{1,16}-\d{1,16}$", description="The last event that the client has seen."),
]


@router.post("/v1/images", status_code=202, summary="Draw a picture from words")
async def draw(
    body: DrawRequest,
    response: Response,
    orders: OrdersDep,
    tenant: Tenant,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue the drawing and answer at once with the job; `Location` says where to look at it."""
    return _accepted(await orders.draw(body, tenant, idempotency_key), response)


@router.post("/v1/blends", status_code=202, summary="Mix pictures and words into a picture")
async def blend(
    body: BlendRequest,
    response: Response,
    orders: OrdersDep,
    tenant: Tenant,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue the blend and answer at once with the job, which lives under `/v1/images`."""
    return _accepted(await orders.blend(body, tenant, idempotency_key), response)


@router.get("/v1/images/{job_id}", summary="How far is it?")
async def look(job_id: JobId, jobs: JobsDep, tenant: Tenant) -> JobView:
    """Return the job's status, its place in the queue, and its pictures when they are there."""
    return JobView.of(await jobs.look(job_id, tenant))


@router.delete("/v1/images/{job_id}", summary="Cancel a job")
async def cancel(job_id: JobId, jobs: JobsDep, tenant: Tenant) -> JobView:
    """Cancel what waits or is being painted; a finished job stays as it is."""
    return JobView.of(await jobs.cancel(job_id, tenant))


@router.get(
    "/v1/images/{job_id}/pictures/{number}",
    summary="Fetch a picture",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture."}},
)
async def picture(
    job_id: JobId,
    number: Annotated[int, Path(ge=0, le=7, description="0 is the first.")],
    orders: OrdersDep,
    tenant: Tenant,
) -> Response:
    """Return a PNG that carries the parameters it was painted with."""
    content, sha256 = await orders.picture(job_id, number, tenant)
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, max-age=86400, immutable"}
    return Response(content, media_type="image/png", headers=headers)


async def _watched(job_id: JobId, jobs: JobsDep, tenant: Tenant) -> Job:
    return await jobs.look(job_id, tenant)


async def _seat(streams: StreamsDep) -> AsyncGenerator[None]:
    if streams.locked():
        raise Overloaded("Too many event streams are open.", retry_after_seconds=1.0)
    async with streams:
        yield


@router.get(
    "/v1/images/{job_id}/events",
    summary="Watch a job",
    response_class=EventSourceResponse,
    dependencies=[Depends(_seat)],
)
async def events(
    job: Annotated[Job, Depends(_watched)],
    jobs: JobsDep,
    request: Request,
    last_event_id: LastEventId = None,
) -> AsyncIterable[ServerSentEvent]:
    """Stream `waiting`, `painting`, `progress`, `preview`, and at last how the job ended.

    Everything since the job's beginning is replayed, or everything after `Last-Event-ID`; of the
    previews only the newest. The end is `done`, `failed` or `cancelled` and carries the whole job.
    """
    after = last_event_id or "0-0"
    # The answer has begun, so an error can only end it; the client comes back with its last id.
    try:
        while not request.app.state.health.is_draining:
            found = await jobs.events(job.id, after)
            for event in found:
                yield await _sse(event, job, jobs)
                after = event.id
            if not found and (await jobs.look(job.id, job.tenant)).status.is_final:
                return
            if found and found[-1].is_final:
                return
    except ServiceError:
        return


async def _sse(event: Event, job: Job, jobs: Jobs) -> ServerSentEvent:
    """Render an event; a final one carries the whole job."""
    if event.is_final:
        view = JobView.of(await jobs.look(job.id, job.tenant))
        return ServerSentEvent(id=event.id, event=event.kind, data=view)
    return ServerSentEvent(id=event.id, event=event.kind, data=event.data)


def _accepted(job: Job, response: Response) -> JobView:
    response.headers["Location"] = f"/v1/images/{job.id}"
    return JobView.of(job)
