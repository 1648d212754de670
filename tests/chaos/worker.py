"""A real worker process with a fast fake painter that some prompts kill or freeze."""

import os
import signal
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from tests.imagegen.fakes import PlainPainter

STEP_SECONDS = 0.04
POISON = "poison"  # kills each process that paints it
SLEEPY = "sleepy"  # freezes the first one when it has the picture and not yet delivered it


class MortalPainter(PlainPainter):
    """Dies in the middle of a poisonous picture, and falls asleep over a sleepy one."""

    def paint(self, drawings, sources, on_step) -> Any:
        prompts = [drawing.prompt for drawing in drawings]
        if any(prompt.startswith(POISON) for prompt in prompts):
            self.before_step = _die_at_the_second
        painted = super().paint(drawings, sources, on_step)
        if any(prompt.startswith(SLEEPY) and _is_first(prompt) for prompt in prompts):
            os.kill(os.getpid(), signal.SIGSTOP)
        return painted


def _die_at_the_second(step: int) -> None:
    if step == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first(prompt: str) -> bool:
    """Tell, for one process of all, that it is the first with this prompt."""
    try:
        (Path(os.environ["CHAOS_DIR"]) / f"{prompt}.seen").open("x").close()
    except FileExistsError:
        return False
    return True


def create_app() -> FastAPI:
    """Build the worker."""
    return worker.create_app(painter=MortalPainter(STEP_SECONDS))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.chaos.worker"))
