"""GoEmotions (Demszky et al. 2020), the official split with 28 labels, as token rows.

Files in `--data`: goemotions_{train,dev,test}.tsv(.gz) with text, comma separated label numbers and comment id, and
labels.txt, one label per line.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.minilm import base_tokenizer


@dataclass(frozen=True)
class Split:
    """One split: the texts, their token rows and the (rows, labels) matrix of zeros and ones."""

    texts: list[str]
    tokens: list[list[int]]
    targets: Tensor

    def head(self, rows: int | None) -> "Split":
        """Return the first `rows` rows; all of them for None."""
        return Split(self.texts[:rows], self.tokens[:rows], self.targets[:rows])


def read_labels(data: Path) -> list[str]:
    """Return the label names in id order."""
    return (data / "labels.txt").read_text(encoding="utf-8").split()


def read_split(data: Path, name: str, max_tokens: int) -> Split:
    """Read one split and cut its texts to `max_tokens` tokens."""
    rows = [line.split("\t") for line in _lines(data / f"goemotions_{name}.tsv")]
    targets = torch.zeros(len(rows), len(read_labels(data)))
    for number, (_, labels, _) in enumerate(rows):
        targets[number, [int(label) for label in labels.split(",")]] = 1.0
    texts = [text for text, _, _ in rows]
    tokenizer = base_tokenizer()
    tokenizer.enable_truncation(max_tokens)
    return Split(texts, [row.ids for row in tokenizer.encode_batch(texts)], targets)


def _lines(path: Path) -> list[str]:
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return raw.decode().splitlines()
