"""A real worker process with a fast fake painter that some prompts kill, and that may fall asleep."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from services.imagegen.storage import Storage
from tests.imagegen.fakes import PlainModel, PlainPainter, PlainRow

STEP_SECONDS = 0.04
POISON = "poison"  # kills each process that paints it
NAP = "nap"  # a file in CHAOS_DIR: who takes it freezes, with a picture stored and no job finished


class MortalModel(PlainModel):
    """Kills its process in the middle of a poisonous picture."""

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        if any(row.drawing.prompt.startswith(POISON) and row.step for row in rows):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(rows)


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
    return worker.create_app(painter=PlainPainter(model=MortalModel(STEP_SECONDS)))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.chaos.worker"))
