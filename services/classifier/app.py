"""The classifier, put together."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import FastAPI
from tokenizers import Encoding

from kit import settings as kit_settings
from kit.app import Resources, build_app
from kit.batching import Batcher
from kit.text import announce
from services.classifier import dialects
from services.classifier.dialects import tei
from services.classifier.model import Classifier, Vector, ZeroShot
from services.classifier.routes import WindowBatcher, router
from services.classifier.settings import Settings

THANKS = "Thank you so much, this made my day! "
SAMPLE = [THANKS, THANKS * 12]  # what calibration runs, and the short one the canary


def create_app(
    settings: Settings | None = None,
    classifier: Classifier | None = None,
    zero_shot: ZeroShot | None = None,
) -> FastAPI:
    """Build the service; tests pass settings and fake models, production passes nothing."""
    chosen = settings or kit_settings.load(Settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[Resources]:
        own = await to_thread.run_sync(lambda: classifier or Classifier.load(chosen))
        any_label = await to_thread.run_sync(lambda: zero_shot or ZeroShot.load(chosen))
        async with (
            _batched(app, own, own.read, chosen) as logits,
            _batched(app, any_label, any_label.embed, chosen) as embeddings,
        ):
            app.state.health.info.update(tei.info(own, chosen))
            yield {
                "classifier": own,
                "logits": logits,
                "zero_shot": any_label,
                "embeddings": embeddings,
            }

    return build_app(
        "classifier",
        description="Labels texts: emotions by a trained model, anything else by embeddings.",
        settings=chosen,
        routers=[router, *dialects.ROUTERS],
        life=life,
        error_shapes=dialects.ERROR_SHAPES,
    )


@asynccontextmanager
async def _batched(
    app: FastAPI,
    source: Classifier | ZeroShot,
    run: Callable[[list[Encoding]], Sequence[Vector]],
    settings: Settings,
) -> AsyncGenerator[WindowBatcher]:
    """Run a model behind a batcher, named in `/info` and checked by `/readyz`."""
    batcher: WindowBatcher = Batcher(
        run,
        metrics=app.state.metrics,
        tokens=len,
        max_items=settings.batch_items,
        max_tokens=settings.batch_tokens,
        max_queue_ms=settings.queue_ms,
    )
    sample = [window for group in source.windows(SAMPLE) for window in group]
    async with batcher.running(sample, health=app.state.health, name=source.model.name) as running:
        announce(app, source.model)
        yield running
