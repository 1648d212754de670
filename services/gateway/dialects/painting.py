"""Pictures for dialects whose clients wait for them in one request."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends

from kit.app import from_lifespan
from kit.errors import DeadlineExceeded, UpstreamFailed
from services.gateway.events import Emit
from services.gateway.limits import Tenant
from services.gateway.routes import UpstreamsDep, patience
from services.gateway.schemas import AssistRequest
from services.gateway.skills import Asked, Skills, nobody_listens
from services.gateway.upstreams import Upstreams

SkillsDep = Annotated[Skills, from_lifespan("skills")]


@dataclass(frozen=True)
class Painting:
    """Orders pictures for one tenant and fetches them."""

    skills: Skills
    upstreams: Upstreams
    tenant: str

    async def paint(
        self,
        prompt: str,
        order: Mapping[str, Any],
        emit: Emit = nobody_listens,
        *,
        is_stream: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the finished pictures; raises DeadlineExceeded with the job when time runs out.

        A caller who hangs up cancels the job.
        """
        asked = Asked(
            AssistRequest(text=prompt),
            {"subject": prompt},
            "en",
            self.tenant,
            options=order,
            patience_seconds=math.inf if is_stream else patience(math.inf),
            emit=emit,
        )
        output = await self.skills.carry_out("draw", asked)
        if output.status != 200:
            said = f"The picture is not ready yet; its job goes on at {output.location}."
            raise DeadlineExceeded(said)
        pictures: list[dict[str, Any]] = output.body["pictures"]
        return pictures

    async def file(self, path: str) -> bytes:
        """Return a painted picture's PNG."""
        imagegen = self.upstreams["imagegen"]
        response = await imagegen.request("GET", path, headers={"X-Tenant": self.tenant})
        if not response.is_success:
            raise UpstreamFailed(f"The picture {path} answered {response.status_code}.")
        return response.content

    async def encoded(self, path: str) -> str:
        """Return a painted picture's PNG in base64."""
        return base64.b64encode(await self.file(path)).decode()


async def _painting(skills: SkillsDep, upstreams: UpstreamsDep, tenant: Tenant) -> Painting:
    return Painting(skills, upstreams, tenant)


PaintingDep = Annotated[Painting, Depends(_painting)]
