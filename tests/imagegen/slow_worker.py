"""A real worker process with the fake painter: `python -m tests.imagegen.slow_worker`."""

import os
from collections.abc import Sequence

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from services.imagegen.painters import DeviceLost
from tests.imagegen.fakes import PlainModel, PlainPainter, PlainRow


class Faulty(PlainModel):
    """Its device breaks when it has painted for a while."""

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        if rows[0].step == 10:
            raise DeviceLost("The device failed.")
        return super().predict(rows)


def create_app() -> FastAPI:
    """Build the worker; STEP_SECONDS says how long each step takes, FAULTY breaks the device."""
    model = (Faulty if "FAULTY" in os.environ else PlainModel)(float(os.environ["STEP_SECONDS"]))
    return worker.create_app(painter=PlainPainter(model=model))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.imagegen.slow_worker"))
