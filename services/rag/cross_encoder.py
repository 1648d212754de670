"""A cross-encoder: reads question and passage together and says how well they belong together."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Encoding

from kit import text
from kit.batching import Batcher
from kit.models import resolve
from kit.onnx_model import OnnxText
from kit.text import TextModel, tokenized
from services.rag.settings import Settings

OVERLAP_TOKENS = 32
SAMPLE = ("What is it?", "It is a sentence that a reranker reads. ")


class CrossEncoder:
    """A sequence classification model with one logit, or two of which the second says yes."""

    def __init__(self, model: TextModel) -> None:
        self.model = model

    def windows(self, query: str, texts: Sequence[str]) -> list[list[Encoding]]:
        """Tokenize each text behind the question, a long one in parts that overlap; blocking.

        A question of more than half the model's window loses its end.
        """
        tokenizer = self.model.tokenizer
        (asked,) = tokenizer.encode_batch([query], add_special_tokens=False)
        asked.truncate(self.model.max_length // 2)
        special = tokenizer.num_special_tokens_to_add(is_pair=True)
        room = self.model.max_length - special - len(asked)
        return [text.pair_windows(self.model, asked, one, room, OVERLAP_TOKENS) for one in texts]

    def read(self, windows: list[Encoding]) -> list[float]:
        """Return a logit per window; blocking."""
        logits = self.model.run(windows)["logits"]
        columns = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        return [float(one) for one in columns]


class Reranker:
    """A cross-encoder behind its batcher."""

    def __init__(self, model: CrossEncoder, batcher: Batcher[Encoding, float]) -> None:
        self._model = model
        self._batcher = batcher

    async def scores(self, query: str, texts: Sequence[str], *, raw: bool = False) -> list[float]:
        """Return each text's probability to answer, or its logit; a long text's best part counts."""
        groups: Any = await tokenized(lambda _: self._model.windows(query, texts), [query, *texts])
        answers = iter(
            await self._batcher.submit_many([window for group in groups for window in group])
        )
        best = [max(islice(answers, len(group))) for group in groups]
        return best if raw else [float(1 / (1 + np.exp(-np.clip(one, -50, 50)))) for one in best]


def load(settings: Settings) -> CrossEncoder | None:
    """Load the cross-encoder that the settings name, if any; blocking, raises ModelUnavailable."""
    if not settings.reranker:
        return None
    files = resolve(settings.reranker, settings.models_dir)
    precision, threads = settings.reranker_precision, settings.embedder_threads
    return CrossEncoder(OnnxText(files, precision=precision, threads=threads))


def sample(model: CrossEncoder) -> list[Encoding]:
    """Return a short and a long window for calibration."""
    query, sentence = SAMPLE
    return [model.windows(query, [sentence * times])[0][0] for times in (1, 20)]
