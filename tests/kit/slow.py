"""A service for `python -m kit.serve` whose model takes its time, as real ones do."""

import time
from collections.abc import Sequence

from fastapi import FastAPI

from tests.kit import tiny


def upper(texts: list[str]) -> Sequence[str]:
    time.sleep(0.005 + 0.001 * len(texts))
    return [text.upper() for text in texts]


def create_app() -> FastAPI:
    return tiny.create_app(upper)
