"""Ray Serve with `@serve.batch`: one proxy, one replica."""

import os
import signal
from typing import Any

import ray
from ray import serve
from scoring import Model, Scores
from starlette.requests import Request

BATCH = int(os.environ["BATCH"])


@serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Emotions:
    """Collects requests into batches of texts."""

    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.005 if BATCH > 1 else 0.0)
    async def score(self, texts: list[str]) -> list[Scores]:
        """Score a batch."""
        return self.model(texts)

    async def __call__(self, request: Request) -> Any:
        """Score one request's text."""
        return await self.score((await request.json())["text"])


ray.init(num_cpus=1, include_dashboard=False, logging_level="warning")
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
serve.run(Emotions.bind(), route_prefix="/predict")
signal.sigwait({signal.SIGTERM, signal.SIGINT})
serve.shutdown()
