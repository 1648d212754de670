"""`/livez`, `/readyz`, `/info`: truthful answers for probes, with the reason in JSON.

`/readyz` asks whether work should come here, anew for each probe; a model that hangs fails it within
2 s and makes it whole again by itself. `/livez` asks whether a restart is the cure. It never fails
for load, for a failing input or for something that this process needs and another one provides: a
restart would only lose what is being done. It fails when the start failed, and when the model has
kept one batch for a minute and for four times as long as it should: a thread that is stuck in native
code cannot be ended, and by then every caller has had its 504.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import anyio
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from kit.errors import ServiceError

CHECK_SECONDS = 2.0  # a check that takes longer counts as failed

Check = Callable[[], Awaitable[None]]
"""Returns when the thing it checks works; raises with a reason for people when not."""

Lifeline = Callable[[], str]
"""Returns why only a restart helps, or nothing."""


class State(StrEnum):
    """Where a service is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    BROKEN = "broken"


class Health:
    """A service's state and the checks that `/readyz` runs anew for each probe."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self.reason = "starting"
        self.checks: dict[str, Check] = {}
        self.lifelines: dict[str, Lifeline] = {}
        self.info: dict[str, Any] = {}
        self.on_broken: Callable[[], None] = lambda: None
        self.has_started = False

    @property
    def is_draining(self) -> bool:
        """Tell whether the end has begun."""
        return self.state is State.DRAINING

    @property
    def is_broken(self) -> bool:
        """Tell whether only a restart helps."""
        return self.state is State.BROKEN

    def ready(self) -> None:
        """Say that start-up is complete; a service that was told to stop meanwhile stays unready."""
        self.has_started = True
        if self.state is State.STARTING:
            self.state, self.reason = State.READY, ""

    def drain(self) -> None:
        """Say that no new work should come here."""
        self.state, self.reason = State.DRAINING, "draining"

    def broken(self, reason: str) -> None:
        """Say that this process cannot recover by itself."""
        self.state, self.reason = State.BROKEN, reason
        self.on_broken()

    @property
    def dead_because(self) -> str:
        """Return why only a restart helps; empty while that is not so."""
        if self.is_broken:
            return self.reason
        return next((why for lifeline in self.lifelines.values() if (why := lifeline())), "")

    async def failures(self) -> dict[str, str]:
        """Return what keeps the service from being ready, by name; empty when it is ready."""
        if self.state is not State.READY:
            return {"state": self.reason}
        failed = {name: await _run(check) for name, check in self.checks.items()}
        return {name: reason for name, reason in failed.items() if reason}


async def _run(check: Check) -> str:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except ServiceError as error:
        return error.detail
    except Exception as error:  # noqa: BLE001 - any failure of a check is an answer, not a crash
        return type(error).__name__
    return ""


router = APIRouter(tags=["operations"])


def _health(request: Request) -> Health:
    health = request.app.state.health
    assert isinstance(health, Health)
    return health


@router.get("/livez", summary="Is the process alive?")
async def live(request: Request) -> Response:
    """Answer 503 only when a restart is the cure."""
    health = _health(request)
    dead = health.dead_because
    body = {"state": health.state, "reason": dead or health.reason}
    return JSONResponse(body, 503 if dead else 200)


@router.get("/readyz", summary="Should work be sent here?")
async def ready(request: Request) -> Response:
    """Run the checks, a canary inference among them, and answer 503 with the reasons if one fails."""
    health = _health(request)
    failures = await health.failures()
    body = {"ready": not failures, "state": health.state, "failures": failures}
    return JSONResponse(body, 503 if failures else 200)


@router.get("/info", summary="What runs here?")
async def info(request: Request) -> dict[str, Any]:
    """Return the service's name, version and models."""
    return dict(_health(request).info)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Render the metrics; a plain function because rendering reads /proc."""
    rendered: Response = request.app.state.metrics.response()
    return rendered
