import asyncio
import os
import signal
import sys
from pathlib import Path

from local.processes import Program, supervised
from tests.support import until

ROOT = Path(__file__).resolve().parents[2]
FOREVER = "import time\nprint('hello', flush=True)\nwhile True: time.sleep(1)"


def program(name: str, code: str = FOREVER) -> Program:
    return Program(name, [sys.executable, "-c", code])


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_program_is_started_again_and_the_others_go_on(tmp_path: Path):
    async with supervised([program("one"), program("two")], tmp_path, echo=False) as supervisor:

        async def both() -> bool:
            return bool(supervisor.pid("one") and supervisor.pid("two"))

        await until(both)
        first, other = supervisor.pid("one"), supervisor.pid("two")
        assert first
        os.kill(first, signal.SIGKILL)

        async def came_back() -> bool:
            return supervisor.pid("one") != first

        await until(came_back)
        assert supervisor.pid("two") == other


async def test_everything_that_was_started_is_gone_afterwards(tmp_path: Path):
    async with supervised([program("one"), program("two")], tmp_path, echo=False) as supervisor:

        async def both() -> list[int]:
            pids = [supervisor.pid("one"), supervisor.pid("two")]
            return [pid for pid in pids if pid] if all(pids) else []

        pids = await until(both)
    assert not any(is_alive(pid) for pid in pids)


async def test_a_line_of_any_length_reaches_the_log(tmp_path: Path):
    talkative = program("one", f"print('x' * 300_000, flush=True)\n{FOREVER}")
    async with supervised([talkative], tmp_path, echo=False) as supervisor:

        async def went_on() -> bool:
            log = supervisor.log("one")
            text = await asyncio.to_thread(lambda: log.read_text() if log.exists() else "")
            return "x" * 300_000 + "\nhello\n" in text

        await until(went_on, 30.0)


PARENT = """
import asyncio, sys
from pathlib import Path
from local.processes import Program, supervised

async def main():
    child = Program("child", [sys.executable, "-c", "import time; time.sleep(600)"])
    async with supervised([child], Path(sys.argv[1]), echo=False) as supervisor:
        while not supervisor.pid("child"):
            await asyncio.sleep(0.01)
        print(supervisor.pid("child"), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path):
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path)), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()

    async def is_gone() -> bool:
        return not is_alive(child)

    await until(is_gone, 30.0)


async def test_each_program_has_a_log_of_its_own(tmp_path: Path):
    async with supervised([program("one")], tmp_path, echo=False) as supervisor:

        async def written() -> bool:
            log = supervisor.log("one")
            return await asyncio.to_thread(lambda: log.exists() and "hello" in log.read_text())

        await until(written)
