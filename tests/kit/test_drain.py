"""An instance that is told to end under load loses no request: real processes, real clients."""

import asyncio
import signal

import httpx2

from benchmarks import rolling
from benchmarks.rolling import Instance

SLOW = "tests.kit.slow"


async def shout(client: httpx2.AsyncClient, url: str, mark: str) -> httpx2.Response:
    answer = await client.post(f"{url}/shout", json={"texts": [f"text {mark}"]})
    assert answer.json() == [f"TEXT {mark}"]
    return answer


async def test_no_client_notices_that_an_instance_is_replaced():
    async with (
        rolling.instance(SLOW) as old,
        rolling.instance(SLOW) as new,
        rolling.load([old.url, new.url], shout, keeping=8, anew=4) as load,
    ):
        await load.reaches(old.url, 200)
        assert await old.end() == 0
        await load.reaches(new.url, 200)
    assert load.failures == []
    assert load.goodbyes >= 8  # every kept connection was ended by an answer


async def test_readiness_fails_before_the_socket_closes_and_work_goes_on_until_then():
    async with (
        rolling.instance(SLOW, DRAIN_SECONDS="1") as instance,
        httpx2.AsyncClient(base_url=instance.url, trust_env=False) as client,
    ):
        instance.process.send_signal(signal.SIGTERM)
        states: list[tuple[int, str]] = []
        while True:
            try:
                ready = await client.get("/readyz")
                work = await client.post("/shout", json={"texts": ["a"]})
            except httpx2.ConnectError:
                break
            states.append((ready.status_code, ready.json()["state"]))
            assert work.status_code == 200
        assert await instance.process.wait() == 0
    assert states[-1] == (503, "draining")
    assert (503, "draining") in states


async def _open(instance: Instance) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = httpx2.URL(instance.url)
    return await asyncio.open_connection(url.host, url.port)


async def test_a_connection_that_was_accepted_may_still_ask_and_gets_its_answer():
    """Even one whose request arrives after the socket was closed for others."""
    async with rolling.instance(SLOW, DRAIN_SECONDS="0") as instance:
        silent_reader, silent = await _open(instance)
        reader, writer = await _open(instance)
        instance.process.send_signal(signal.SIGTERM)
        while True:
            try:
                (await _open(instance))[1].close()
            except OSError:
                break
        writer.write(b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = (await reader.read()).decode()  # to its end: the server closes
        assert await silent_reader.read() == b""  # not reset
        assert await instance.process.wait() == 0
        writer.close()
        silent.close()
    assert answer.startswith("HTTP/1.1 200")
    assert "connection: close" in answer


async def test_everyone_who_reaches_the_socket_before_it_closes_is_answered():
    request = b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n"
    async with rolling.instance(SLOW, DRAIN_SECONDS="0") as instance:
        asked: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        async def ask_until_refused() -> None:
            while True:
                try:
                    reader, writer = await _open(instance)
                except OSError:
                    return
                writer.write(request)
                asked.append((reader, writer))

        clients = asyncio.gather(*(ask_until_refused() for _ in range(8)))
        await asyncio.sleep(0.05)
        instance.process.send_signal(signal.SIGTERM)
        await clients
        answers = [await reader.read() for reader, _ in asked]
        for _, writer in asked:
            writer.close()
    assert len(answers) > 20
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
