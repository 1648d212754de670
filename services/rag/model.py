"""The sentence embedder."""

from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kit.models import resolve
from kit.onnx_model import OnnxText
from kit.text import TextModel, windows
from services.rag.settings import Settings

Vector = NDArray[np.float32]
OVERLAP_TOKENS = 32


class Embedder(Protocol):
    """Maps texts to unit vectors; blocking."""

    name: str
    revision: str
    backend: str

    def embed(self, texts: list[str]) -> list[Vector]:
        """Return a vector of unit length per text."""
        ...


class OnnxEmbedder:
    """A sentence-transformers model as ONNX, with pooling in the graph.

    Source: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self.name = model.name
        self.revision = model.revision
        self.backend = model.backend

    def embed(self, texts: list[str]) -> list[Vector]:
        """Return a vector of unit length per text; a text of several windows gets their mean."""
        groups = windows(self._model, texts, OVERLAP_TOKENS)
        rows = self._model.run([window for group in groups for window in group])
        ends = np.cumsum([0, *map(len, groups)])
        return [
            _unit(rows["sentence_embedding"][start:end].mean(axis=0))
            for start, end in pairwise(ends)
        ]

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has; blocking."""
        return len(self._model.tokenizer.encode(text, add_special_tokens=False).ids)


def load(settings: Settings, reference: str = "") -> OnnxEmbedder:
    """Load an embedder, the settings' own by default; blocking, raises ModelUnavailable."""
    files = resolve(reference or settings.embedder, settings.models_dir)
    precision, threads = settings.embedder_precision, settings.embedder_threads
    return OnnxEmbedder(OnnxText(files, precision=precision, threads=threads))


def cost(text: str) -> int:
    """Estimate a text's tokens without tokenizing it."""
    return 2 + len(text) // 4


def _unit(vector: Vector) -> Vector:
    scaled: Vector = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return scaled
