"""Real upstreams that are dead, slow, hung, half-answering or restarting: the gateway stays, says who, recovers."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import httpx2
import pytest

from kit import resilience
from kit.resilience import FAILURES, LARGEST_RESERVE
from services.gateway.app import create_app
from services.gateway.settings import Settings
from tests.gateway.support import FixedRouter, listening
from tests.support import until

OK = b'{"results": []}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Upstream:
    """A server of bare sockets that behaves as it is told, on a port that stays the same."""

    def __init__(self) -> None:
        self.mood = "well"
        self.slow_seconds = 0.0
        self.asked: list[str] = []
        self.port = 0
        self.left = anyio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Die: the port refuses, and open connections break."""
        if self._server is not None:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        path = head.split(b" ", 2)[1].decode()
        size = 0
        if b"content-length:" in head:
            size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
        if path.startswith("/v1/"):
            self.asked.append(path)
        match self.mood:
            case "hung" | "hung once":
                if self.mood == "hung once":
                    self.mood = "well"
                await reader.read()  # until the other side leaves
                self.left.set()
                return False
            case "broken":
                return False
            case "half":
                writer.write(ANSWER % (1000, b"half"))
                await writer.drain()
                return False
            case "sluggish" if not path.startswith("/v1/"):
                pass  # quick to say that it lives
            case "slow" | "sluggish":
                await asyncio.sleep(self.slow_seconds)
        writer.write(ANSWER % (len(OK), OK))
        await writer.drain()
        return True


@asynccontextmanager
async def before(upstream: Upstream, **settings: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of a gateway whose classifier is the upstream; nobody else is there."""
    nowhere = {f"{name}_url": "http://127.0.0.1:9" for name in ("qa", "imagegen", "rag")}
    chosen = Settings(classifier_url=f"http://127.0.0.1:{upstream.port}", **nowhere, **settings)  # type: ignore[arg-type]
    async with (
        listening(create_app(chosen, FixedRouter("classify", {"text": "x"}))) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(is_ready)
        yield client


async def classify(client: httpx2.AsyncClient, milliseconds: int = 5000) -> httpx2.Response:
    budget = {"X-Request-Timeout-Ms": str(milliseconds)}
    return await client.post("/v1/classify", json={"texts": ["x"]}, headers=budget)


async def recovers(client: httpx2.AsyncClient) -> None:
    async def is_well() -> bool:
        return (await classify(client)).status_code == 200

    await until(is_well, 20)


async def opened(client: httpx2.AsyncClient, milliseconds: int = 5000) -> httpx2.Response:
    """Fail until the breaker opens; return its refusal."""
    for _ in range(FAILURES + 3):
        answer = await classify(client, milliseconds)
        if answer.status_code == 503:
            return answer
    raise AssertionError("the breaker stays closed")


@pytest.mark.parametrize(
    ("mood", "status"), [("dead", 502), ("broken", 502), ("hung", 504), ("slow", 504)]
)
async def test_a_failing_service_is_named_then_left_alone_and_found_again(mood: str, status: int):
    async with Upstream() as upstream, before(upstream) as client:
        assert (await classify(client)).status_code == 200
        upstream.mood, upstream.slow_seconds = mood, 30.0
        if mood == "dead":
            await upstream.stop()
        answers = [await classify(client, 1100) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {status}
        assert "classifier" in answers[0].json()["detail"]
        refused = await opened(client, 1100)
        assert "classifier" in refused.json()["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 16
        asked = len(upstream.asked)
        started = time.monotonic()
        assert (await classify(client)).status_code == 503
        assert time.monotonic() - started < 1.0  # nobody waits for it
        assert len(upstream.asked) == asked
        states = (await client.get("/v1/services")).json()["services"]
        assert not states[0]["ready"] or mood == "hung"
        assert (await client.get("/readyz")).status_code == 200
        upstream.mood = "well"
        if mood == "dead":
            await upstream.start()
        await recovers(client)


async def test_an_answer_that_breaks_off_breaks_the_callers_connection_too_and_counts():
    async with Upstream() as upstream, before(upstream) as client:
        upstream.mood = "half"
        for _ in range(FAILURES):
            with pytest.raises(httpx2.RemoteProtocolError):
                await classify(client)
        assert (await classify(client)).status_code == 503
        answer = await client.post("/v1/assist", json={"text": "how does x sound?"})
        assert answer.status_code == 503
        assert "classifier" in answer.json()["detail"]
        upstream.mood = "well"
        await recovers(client)


async def test_a_restart_loses_only_what_was_on_its_way():
    async with Upstream() as upstream, before(upstream) as client:
        for _ in range(3):
            await upstream.stop()
            assert (await classify(client)).status_code == 502
            await upstream.start()
            assert (await classify(client)).status_code == 200


async def test_other_services_do_not_suffer():
    async with Upstream() as upstream, before(upstream) as client:
        for _ in range(FAILURES + 1):
            answer = await client.post("/v1/answer", json={})
        assert answer.status_code == 503
        assert "qa" in answer.json()["detail"]
        assert (await classify(client)).status_code == 200


async def test_while_half_open_one_call_alone_tries(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resilience, "FIRST_PAUSE_SECONDS", 0.05)
    async with Upstream() as upstream, before(upstream) as client:
        upstream.mood = "broken"
        await opened(client)
        upstream.mood, upstream.slow_seconds = "sluggish", 3.0
        asked = len(upstream.asked)

        async def trial() -> bool:
            return (await classify(client)).status_code == 200

        trying = asyncio.create_task(until(trial, 20))

        async def is_asked() -> bool:
            return len(upstream.asked) > asked

        await until(is_asked, 20)
        others = await asyncio.gather(*(classify(client) for _ in range(5)))
        assert {answer.status_code for answer in others} == {503}
        assert len(upstream.asked) == asked + 1
        await trying
        assert (await classify(client)).status_code == 200


async def test_a_callers_own_short_patience_opens_nothing():
    async with Upstream() as upstream, before(upstream) as client:
        upstream.mood = "hung"
        found = [(await classify(client, 60)).status_code for _ in range(FAILURES + 2)]
        assert set(found) == {504}


async def test_retries_stay_within_one_in_ten():
    async with Upstream() as upstream, before(upstream) as client:
        calls = 60
        for number in range(calls):
            upstream.mood = "broken" if number % 4 == 0 else "well"
            await classify(client)
    repeated = len(upstream.asked) - calls
    assert 1 <= repeated <= 1 + calls / 10 <= LARGEST_RESERVE


async def test_what_may_have_been_done_is_not_done_twice():
    async with Upstream() as upstream:
        nowhere = {f"{name}_url": "http://127.0.0.1:9" for name in ("qa", "rag", "classifier")}
        chosen = Settings(imagegen_url=f"http://127.0.0.1:{upstream.port}", **nowhere)  # type: ignore[arg-type]
        async with (
            listening(create_app(chosen, FixedRouter())) as url,
            httpx2.AsyncClient(base_url=url, timeout=30) as client,
        ):
            upstream.mood = "broken"
            answer = await client.post("/v1/images", json={"prompt": "x"})
            assert answer.status_code == 502
            assert upstream.asked == ["/v1/images"]
            await client.get("/v1/images/j")
            assert upstream.asked[1:] == ["/v1/images/j"] * 2


@pytest.mark.parametrize("hedge", [True, False])
async def test_a_slow_answer_is_asked_for_twice_only_when_told_so(hedge: bool):
    async with Upstream() as upstream, before(upstream, hedge=hedge) as client:
        for _ in range(60):
            await classify(client)
        asked = len(upstream.asked)
        upstream.mood = "hung once"
        answer = await classify(client, 4000)
    assert answer.status_code == (200 if hedge else 504)
    assert len(upstream.asked) == asked + (2 if hedge else 1)


async def test_a_hang_up_reaches_a_hung_service():
    async with Upstream() as upstream, before(upstream) as client:
        upstream.mood = "hung"
        caller = asyncio.create_task(classify(client, 20_000))

        async def is_asked() -> bool:
            return bool(upstream.asked)

        await until(is_asked, 10)
        caller.cancel()
        with anyio.fail_after(10):
            await upstream.left.wait()
