"""Put the found chunks into a better order: by learned trees, and by a cross-encoder where one is set."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kit.models import resolve
from services.rag import features
from services.rag.settings import Settings
from services.rag.trees import Trees, UnfitTrees

FILE = "ranker.safetensors"


class Ranker(Protocol):
    """Says how likely each row of `features.table` is to be what the question looks for."""

    name: str

    def rank(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a probability per row."""
        ...


class LearnedRanker:
    """Gradient-boosted trees over `features.NAMES`."""

    def __init__(self, trees: Trees, name: str) -> None:
        if trees.names != features.NAMES:
            raise UnfitTrees("it was trained on other features than this version's")
        self._trees = trees
        self.name = name

    def rank(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a probability per row."""
        return self._trees.probabilities(table)

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> Self:
        """Read a file's content; raise UnfitTrees when it does not fit."""
        return cls(Trees.from_bytes(content), name)


def load(settings: Settings) -> Ranker | None:
    """Load the ranker that the settings name, if any; blocking, raises ModelUnavailable."""
    if not settings.ranker:
        return None
    files = resolve(settings.ranker, settings.models_dir)
    return LearnedRanker.from_bytes(files.file(FILE).read_bytes(), f"{files.name}@{files.revision}")
