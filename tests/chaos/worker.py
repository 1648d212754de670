"""A real worker process with a fast fake painter that dies of some prompts."""

import os
import signal

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from tests.imagegen.fakes import PlainPainter

STEP_SECONDS = 0.04
POISON = "poison"


def _die_at_the_second(step: int) -> None:
    if step == 2:
        os.kill(os.getpid(), signal.SIGKILL)


class MortalPainter(PlainPainter):
    """Kills its process in the middle of a poisonous picture."""

    def paint(self, drawings, sources, on_step):
        if any(drawing.prompt == POISON for drawing in drawings):
            self.before_step = _die_at_the_second
        return super().paint(drawings, sources, on_step)


def create_app() -> FastAPI:
    """Build the worker."""
    return worker.create_app(painter=MortalPainter(STEP_SECONDS))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.chaos.worker"))
