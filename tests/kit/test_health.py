"""Readiness is asked anew for each probe, and every failure has a reason."""

import asyncio

import pytest

import kit.health
from kit.errors import UpstreamFailed
from kit.health import Health
from tests.kit import tiny
from tests.support import serve


async def works() -> None:
    return None


async def hangs() -> None:
    await asyncio.Event().wait()


async def is_down() -> None:
    raise UpstreamFailed("The queue cannot be reached.")


async def has_a_bug() -> None:
    raise KeyError("internal detail")


async def test_each_failed_check_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kit.health, "CHECK_SECONDS", 0.05)
    health = Health()
    health.ready()
    health.checks = {"good": works, "slow": hangs, "queue": is_down, "odd": has_a_bug}
    assert await health.failures() == {
        "slow": "no answer within 0.05 s",
        "queue": "The queue cannot be reached.",
        "odd": "KeyError",
    }


async def test_a_draining_service_is_alive_and_not_ready():
    app = tiny.create_app()
    async with serve(app) as client:
        app.state.health.drain()
        live, ready = await client.get("/livez"), await client.get("/readyz")
    assert live.status_code == 200
    assert (ready.status_code, ready.json()["state"]) == (503, "draining")


async def test_a_check_that_recovers_makes_the_service_ready_again():
    app = tiny.create_app()
    async with serve(app) as client:
        app.state.health.checks["queue"] = is_down
        down = await client.get("/readyz")
        app.state.health.checks["queue"] = works
        up = await client.get("/readyz")
    assert (down.status_code, up.status_code) == (503, 200)
