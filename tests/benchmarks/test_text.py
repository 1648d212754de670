"""The load generator counts every request once, and the figures say what it saw."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from benchmarks.text.__main__ import figures, middle, summary
from benchmarks.text.load import run

Reply = Callable[[int], Awaitable[int]]


@asynccontextmanager
async def server(reply: Reply) -> AsyncGenerator[int]:
    """Answer the nth request with the status that `reply` says, on a port of its own."""
    count = 0
    served: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        served.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r")[0]))
                count += 1
                status = await reply(count)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.gather(*(task for task in served if task))


async def load(reply: Reply, **how: float) -> dict[str, Any]:
    async with server(reply) as port:
        return await run({"port": port, "path": "/", "bodies": ["a", "b"], "seconds": 0.2, **how})


async def test_a_closed_loop_waits_for_its_answers():
    most = now = 0

    async def reply(_: int) -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return 200

    raw = await load(reply, concurrency=3)
    assert most == 3
    assert {status for status, _, _ in raw["answers"]} == {200}


async def test_an_open_loop_sends_on_time_and_counts_from_when_it_was_due():
    gate = asyncio.Event()

    async def reply(number: int) -> int:
        if number == 20:
            gate.set()
        await gate.wait()  # nobody is answered before the last one is sent
        return 200

    raw = await load(reply, rate=100)
    took = [took for _, _, took in raw["answers"]]
    assert len(took) == 20
    assert max(took) > 0.15


async def test_refusals_and_hang_ups_are_no_answers():
    async def reply(number: int) -> int:
        if number % 3 == 0:
            raise ConnectionResetError
        return 429 if number % 3 == 1 else 200

    found = figures(await load(reply, concurrency=1), cpu_seconds=1.0)
    assert found["answered"] + found["refused"] + found["failed"] == found["sent"]
    assert min(found["answered"], found["refused"], found["failed"]) > 0


def test_late_answers_are_no_goodput():
    raw = {"seconds": 2.0, "generator_cpu_share": 0.1}
    answers = [(200, 0.0, 0.1), (200, 0.0, 0.1), (200, 0.0, 0.3), (429, 0.0, 0.01)]
    found = figures({**raw, "answers": answers}, cpu_seconds=0.006)
    assert (found["per_second"], found["goodput"]) == (1.5, 1.0)
    assert found["cpu_seconds_per_1000"] == 2.0


def test_ratios_are_taken_within_rounds():
    def one(ours: float, theirs: float, ceiling: float) -> dict[str, Any]:
        def turn(rate: float) -> dict[str, Any]:
            loads = {"closed_64": {"per_second": rate}, "open_2.0": {"goodput": rate / 2}}
            return {"start_seconds": 1.0, **loads}

        servers = {"switchboard": turn(ours), "other": turn(theirs)}
        return {"ceiling": {"per_second": ceiling}, "servers": servers}

    found = summary([one(200, 100, 250), one(20, 10, 25), one(90, 30, 100)])
    assert found["other"]["ratios"]["ours_to_this"] == 2.0
    assert found["switchboard"]["ratios"]["to_ceiling"] == 0.8
    assert found["other"]["ratios"]["goodput_at_double_to_capacity"] == 0.5


@pytest.mark.parametrize("values", [[None, float("nan")], []])
def test_no_numbers_have_no_median(values: list[float | None]):
    assert middle(values) is None
