"""BentoML with its adaptive batching: https://docs.bentoml.com, "Adaptive batching"."""

import os

import bentoml
from scoring import Model, Scores

BATCH = int(os.environ["BATCH"])


@bentoml.service(workers=1, traffic={"timeout": 60})
class Emotions:
    """Scores texts; requests with one text each are put together by the framework."""

    def __init__(self) -> None:
        self.model = Model()

    if BATCH > 1:

        @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=60_000)
        def predict(self, texts: list[str]) -> list[Scores]:
            """Score a batch."""
            return self.model(texts)

    else:

        @bentoml.api
        def predict(self, texts: list[str]) -> list[Scores]:
            """Score one request's text."""
            return self.model(texts)
