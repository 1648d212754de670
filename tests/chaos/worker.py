"""A real worker process with a fast fake painter that some prompts kill, and that may fall asleep."""

import os
import signal
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from services.imagegen.storage import Storage
from tests.imagegen.fakes import PlainPainter

STEP_SECONDS = 0.04
POISON = "poison"  # kills each process that paints it
NAP = "nap"  # a file in CHAOS_DIR: who takes it freezes, with a picture stored and no job finished


class MortalPainter(PlainPainter):
    """Dies in the middle of a poisonous picture."""

    def paint(self, drawings, sources, on_step) -> Any:
        if any(drawing.prompt.startswith(POISON) for drawing in drawings):
            self.before_step = _die_at_the_second
        return super().paint(drawings, sources, on_step)


def _die_at_the_second(step: int) -> None:
    if step == 2:
        os.kill(os.getpid(), signal.SIGKILL)


class SleepyStorage(Storage):
    """Freezes its process after a picture, when told so."""

    async def put(self, path: str, content: bytes) -> None:
        await super().put(path, content)
        try:
            (Path(os.environ["CHAOS_DIR"]) / NAP).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGSTOP)


def create_app() -> FastAPI:
    """Build the worker."""
    worker.Storage = SleepyStorage  # type: ignore[attr-defined]
    return worker.create_app(painter=MortalPainter(STEP_SECONDS))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.chaos.worker"))
