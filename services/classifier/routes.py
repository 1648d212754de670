"""The classifier's native endpoints."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter
from tokenizers import Encoding

from kit.app import from_lifespan
from kit.batching import Batcher
from kit.errors import Unprocessable
from kit.text import tokenized
from services.classifier.model import Classifier, Vector, ZeroShot, zero_shot_scores
from services.classifier.schemas import (
    Classification,
    ClassifyRequest,
    Result,
    Score,
    ZeroShotRequest,
)

DIGITS = 6  # more would be noise, and half of the answer's bytes
WindowBatcher = Batcher[Encoding, Vector]
ClassifierDep = Annotated[Classifier, from_lifespan("classifier")]
LogitsDep = Annotated[WindowBatcher, from_lifespan("logits")]
ZeroShotDep = Annotated[ZeroShot, from_lifespan("zero_shot")]
EmbeddingsDep = Annotated[WindowBatcher, from_lifespan("embeddings")]

router = APIRouter(tags=["classifier"])


@router.post("/v1/classify", summary="Label texts with the model's labels")
async def classify(
    body: ClassifyRequest, classifier: ClassifierDep, logits: LogitsDep
) -> Classification:
    """Score every label for every text.

    A text longer than the model's window is read in overlapping windows; a label's score is the
    best of them. Nothing is cut off.
    """
    thresholds = _thresholds(body, classifier)
    results = []
    for answer in await _per_text(classifier.windows, body.texts, logits):
        own = classifier.combine(answer)
        wished = body.function_to_apply
        results.append(
            Result(
                labels=_reaching(classifier.labels, own, thresholds),
                scores=_ranked(
                    classifier.labels,
                    classifier.combine(answer, wished) if wished else own,
                    body.top_k,
                ),
                windows=len(answer),
            )
        )
    return Classification(model=classifier.model.name, results=results)


@router.post("/v1/zero-shot", summary="Label texts with labels of your own")
async def zero_shot(
    body: ZeroShotRequest, model: ZeroShotDep, embeddings: EmbeddingsDep
) -> Classification:
    """Compare the meaning of each text with a sentence about each label.

    With `multi_label` each label has a probability of its own and `labels` holds those over 0.5;
    without it the probabilities add up to 1 and `labels` holds the best one.
    """
    sentences = _sentences(body)
    answers = await _per_text(model.windows, [*body.texts, *sentences], embeddings)
    texts = answers[: len(body.texts)]
    labels = [np.mean(sentence, axis=0) for sentence in answers[len(body.texts) :]]
    results = []
    for text in texts:
        scores = zero_shot_scores(text, labels, multi_label=body.multi_label)
        least = 0.5 if body.multi_label else float(scores.max())
        results.append(
            Result(
                labels=_reaching(body.labels, scores, [least] * len(scores)),
                scores=_ranked(body.labels, scores),
                windows=len(text),
            )
        )
    return Classification(model=model.model.name, results=results)


def _thresholds(body: ClassifyRequest, classifier: Classifier) -> list[float]:
    """Return the least score of each label, in the order of the model's labels."""
    if isinstance(body.threshold, float):
        return [body.threshold] * len(classifier.labels)
    if classifier.thresholds is not None:
        return [classifier.thresholds[label] for label in classifier.labels]
    if body.threshold == "calibrated":
        raise Unprocessable("This model has no calibrated thresholds; give a number from 0 to 1.")
    return [0.5] * len(classifier.labels)


def _sentences(body: ZeroShotRequest) -> list[str]:
    """Put the labels into the template; plain replacement, because a format string can be misused."""
    if body.template.count("{}") != 1 or set("{}") & set(body.template.replace("{}", "")):
        raise Unprocessable(
            "template must contain {} once, where the label goes, and no other brace."
        )
    if len(set(body.labels)) < len(body.labels):
        raise Unprocessable("labels must differ from each other.")
    return [body.template.replace("{}", label) for label in body.labels]


T = TypeVar("T", bound=str | Sequence[str])
I = TypeVar("I")
O = TypeVar("O")


async def _per_text(
    windows: Callable[[Sequence[T]], list[list[I]]],
    texts: Sequence[T],
    batcher: Batcher[I, O],
) -> list[list[O]]:
    """Run all windows of all texts through the batcher and return them text by text."""
    groups = await tokenized(windows, texts)
    answers = iter(await batcher.submit_many([window for group in groups for window in group]))
    return [list(islice(answers, len(group))) for group in groups]


def _reaching(labels: Sequence[str], scores: Vector, thresholds: Sequence[float]) -> list[str]:
    """Return the labels that reach their threshold, best first."""
    rows = zip(labels, map(float, scores), thresholds, strict=True)
    return [label for label, score, least in sorted(rows, key=_by_score) if score >= least]


def _ranked(labels: Sequence[str], scores: Vector, top_k: int | None = None) -> list[Score]:
    """Return the best `top_k` scores, best first."""
    rows = sorted(zip(labels, map(float, scores), strict=True), key=_by_score)
    return [Score(label=label, score=round(score, DIGITS)) for label, score in rows[:top_k]]


def _by_score(row: Sequence[Any]) -> float:
    return -float(row[1])
