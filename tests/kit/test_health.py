"""Readiness is asked anew for each probe, and every failure has a reason."""

import asyncio
import threading
from collections.abc import Sequence

import httpx2
import pytest

import kit.health
from kit import batching
from kit.errors import UpstreamFailed
from kit.health import Health
from tests.kit import tiny
from tests.support import serve, until


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


class Hanging:
    """A model that waits while its gate is closed, and fails while it is broken."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.is_broken = False

    def __call__(self, texts: list[str]) -> Sequence[str]:
        self.gate.wait()
        if self.is_broken:
            raise MemoryError
        return texts


async def _failures(client: httpx2.AsyncClient) -> dict[str, str]:
    answer = await client.get("/readyz")
    failures: dict[str, str] = answer.json()["failures"]
    assert answer.status_code == (503 if failures else 200)
    return failures


async def test_a_model_that_hangs_makes_the_service_unready_until_it_answers_again():
    model = Hanging()
    async with serve(tiny.create_app(model)) as client:
        model.gate.clear()
        victim = asyncio.create_task(client.post("/shout", json={"texts": ["a"]}))
        failures = await _failures(client)
        assert list(failures) == ["model"]
        assert failures["model"].startswith("The model has not answered for ")
        refused = await client.post("/shout", json={"texts": ["b"]})
        assert (refused.status_code, (await client.get("/livez")).status_code) == (503, 200)
        model.gate.set()
        assert (await victim).status_code == 200
        assert await _failures(client) == {}


async def test_a_model_that_fails_every_batch_makes_the_service_unready_until_it_works_again():
    model = Hanging()
    async with serve(tiny.create_app(model)) as client:
        model.is_broken = True
        refused = await client.post("/shout", json={"texts": ["a"]})
        assert refused.status_code == 503  # not 500: the input is not to blame
        assert await _failures(client) == {"model": "The model fails: MemoryError."}
        assert (await client.get("/livez")).status_code == 200
        model.is_broken = False
        assert await _failures(client) == {}


async def test_a_model_that_does_not_come_back_asks_for_a_restart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batching, "STUCK_SECONDS", 0.01)
    monkeypatch.setattr(batching, "DEAD_SECONDS", 0.1)
    model = Hanging()
    async with serve(tiny.create_app(model)) as client:

        async def is_dead() -> bool:
            return (await client.get("/livez")).status_code == 503

        model.gate.clear()
        victim = asyncio.create_task(client.post("/shout", json={"texts": ["a"]}))
        await until(is_dead)
        assert "has not answered" in (await client.get("/livez")).json()["reason"]
        model.gate.set()
        await victim
        assert not await is_dead()


async def test_a_hanging_model_does_not_keep_the_service_from_ending(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("kit.engine.STOP_SECONDS", 0.05)
    model = Hanging()
    async with serve(tiny.create_app(model)) as client:
        model.gate.clear()
        victim = asyncio.create_task(client.post("/shout", json={"texts": ["a"]}))
        await _failures(client)
    assert (await victim).status_code == 503
    model.gate.set()
