"""A real worker process with a fast fake painter that dies of some prompts."""

import os
import signal
from collections.abc import Sequence

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from tests.imagegen.fakes import PlainModel, PlainPainter, PlainRow

STEP_SECONDS = 0.04
POISON = "poison"


class MortalModel(PlainModel):
    """Kills its process in the middle of a poisonous picture."""

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        if any(row.drawing.prompt == POISON and row.step for row in rows):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(rows)


def create_app() -> FastAPI:
    """Build the worker."""
    return worker.create_app(painter=PlainPainter(model=MortalModel(STEP_SECONDS)))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.chaos.worker"))
