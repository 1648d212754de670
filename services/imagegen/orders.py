"""Requests become jobs: everything between a parsed request and the queue."""

import asyncio
import re
import uuid
from collections.abc import Callable, Sequence

from kit.errors import NotFound, NotReady, ServiceError, Unprocessable
from services.imagegen import drawings, pictures
from services.imagegen.queue import Jobs
from services.imagegen.schemas import BlendRequest, DrawRequest, PictureRequest, Wishes, digest
from services.imagegen.settings import Settings
from services.imagegen.storage import Storage, source_path
from services.imagegen.values import Card, Drawing, Job

OWN_PICTURE = re.compile(r"/v1/images/([0-9a-f]{32})/pictures/([0-9])")


class Orders:
    """Takes orders. A job enters the queue as a whole or not at all."""

    def __init__(self, jobs: Jobs, storage: Storage, settings: Settings) -> None:
        self._jobs = jobs
        self._storage = storage
        self._settings = settings

    async def draw(self, request: DrawRequest, tenant: str, key: str | None) -> Job:
        """Queue a picture from words; the same key and request give the same job."""
        card = await self._jobs.card()
        most = self._settings.max_megapixels
        return await self._order(
            request,
            [request.init_image] if request.init_image else [],
            lambda places: drawings.from_words(request, card, most, next(iter(places), None)),
            card,
            tenant,
            key,
        )

    async def blend(self, request: BlendRequest, tenant: str, key: str | None) -> Job:
        """Queue a mix of pictures and words; the same key and request give the same job."""
        card = await self._jobs.card()
        most = self._settings.max_megapixels
        return await self._order(
            request,
            [source for source in request.sources if source.text is None],
            lambda places: drawings.from_sources(request, places, card, most),
            card,
            tenant,
            key,
        )

    async def _order(
        self,
        request: Wishes,
        sources: Sequence[PictureRequest],
        drawing_from: Callable[[Sequence[str]], Drawing],
        card: Card,
        tenant: str,
        key: str | None,
    ) -> Job:
        """Store the source pictures and queue the job; a refused one leaves no files behind."""
        job_id = uuid.uuid4().hex
        contents = [await self._content(source, tenant) for source in sources]
        paths = [source_path(tenant, job_id, pictures.sha256(content)) for content in contents]
        drawing = drawing_from(paths)
        if not contents:
            return await self._submit(job_id, tenant, request, drawing, card, key)
        await self._jobs.expect_files(tenant, job_id)
        try:
            for path, content in zip(paths, contents, strict=True):
                await self._storage.put(path, content)
            job = await self._submit(job_id, tenant, request, drawing, card, key)
        except NotReady:
            raise  # perhaps only the answer is lost and the job is queued; unused files expire
        except ServiceError:
            await self._discard(tenant, job_id)
            raise
        if job.id != job_id:
            await self._discard(tenant, job_id)
        return job

    async def picture(self, job_id: str, number: int, tenant: str) -> tuple[bytes, str]:
        """Return a finished picture and its digest."""
        job = await self._jobs.look(job_id, tenant)
        if number >= len(job.pictures):
            raise NotFound(f"The job is {job.status} and has {len(job.pictures)} pictures.")
        stored = job.pictures[number]
        return await self._storage.get(stored.path), stored.sha256

    async def _submit(
        self,
        job_id: str,
        tenant: str,
        request: Wishes,
        drawing: Drawing,
        card: Card,
        key: str | None,
    ) -> Job:
        return await self._jobs.submit(
            job_id,
            tenant,
            drawing,
            card=card,
            warnings=drawings.warnings(drawing, card),
            priority=request.priority,
            deadline_seconds=request.deadline_seconds,
            idempotency=(key, digest(request)) if key else ("", ""),
        )

    async def _content(self, source: PictureRequest, tenant: str) -> bytes:
        """Return a source picture as a PNG."""
        own = OWN_PICTURE.fullmatch(source.picture or source.url or "")
        if own:
            content, _ = await self.picture(own[1], int(own[2]), tenant)
        elif source.picture is not None:
            raise Unprocessable("`picture` must be the `url` of a picture that was painted here.")
        else:
            content = pictures.from_base64(source.data or source.url or "")
        return await asyncio.to_thread(pictures.normalise, content)

    async def _discard(self, tenant: str, job_id: str) -> None:
        await self._storage.delete_job(tenant, job_id)
        await self._jobs.forget(f"{tenant}/{job_id}")
