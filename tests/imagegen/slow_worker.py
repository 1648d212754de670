"""A real worker process with the fake painter: `python -m tests.imagegen.slow_worker`."""

import os

from fastapi import FastAPI

import kit.serve
from services.imagegen import worker
from tests.imagegen.fakes import PlainPainter


def create_app() -> FastAPI:
    """Build the worker; STEP_SECONDS says how long each step takes."""
    return worker.create_app(painter=PlainPainter(float(os.environ["STEP_SECONDS"])))


if __name__ == "__main__":
    raise SystemExit(kit.serve.main("tests.imagegen.slow_worker"))
