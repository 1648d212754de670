"""Gradient-boosted trees from a small safetensors file, evaluated with numpy.

A file that somebody uploads is only numbers: it is checked, and nothing in it can be executed.
"""

import json
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

Rows = NDArray[np.float32]
DTYPES = {"feature": "i2", "threshold": "f4", "left": "i4", "right": "i4", "value": "f4"}
MAX_NODES = 200_000
MAX_DEPTH = 64


class UnfitTrees(ValueError):
    """The file holds no trees that can be used; the message says why."""


@dataclass(frozen=True)
class Trees:
    """Trees in one list of nodes: a row goes left when its feature is at most the threshold.

    A leaf is its own child, so that all rows walk all trees in as many steps as the deepest has.
    """

    names: tuple[str, ...]
    """The features, in the order of the rows' columns."""
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]
    depth: int
    baseline: float

    def probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probability that each row is relevant."""
        places = np.repeat(self.roots[None, :], len(rows), axis=0)
        flat = rows.ravel()
        starts = (np.arange(len(rows)) * rows.shape[1])[:, None]
        for _ in range(self.depth):
            goes_left = flat[starts + self.feature[places]] <= self.threshold[places]
            places = np.where(goes_left, self.left[places], self.right[places])
        logits = self.value[places].sum(axis=1, dtype=np.float64) + self.baseline
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -50, 50))))

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        about = {
            "features": json.dumps(self.names),
            "depth": str(self.depth),
            "baseline": repr(self.baseline),
        }
        arrays = {name: getattr(self, name) for name in (*DTYPES, "roots")}
        return bytes(save(arrays, metadata=about))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read a file's content; raise UnfitTrees unless every walk through it ends."""
        try:
            arrays = load(content)  # raises for a file that is none
            about = _metadata(content)
            names = tuple(json.loads(about["features"]))
            depth, baseline = int(about["depth"]), float(about["baseline"])
            found = {name: arrays[name].astype(kind) for name, kind in DTYPES.items()}
            roots = arrays["roots"].astype("i4")
        except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise UnfitTrees(f"it cannot be read ({type(error).__name__})") from error
        trees = cls(names, **found, roots=roots, depth=depth, baseline=baseline)
        trees._check()
        return trees

    def _check(self) -> None:
        nodes = len(self.feature)
        shapes = {getattr(self, name).shape for name in DTYPES}
        ids = np.arange(nodes)
        children = np.stack([self.left, self.right]) if shapes == {(nodes,)} else None
        if children is None or self.roots.ndim != 1 or not 0 < nodes <= MAX_NODES:
            raise UnfitTrees("its arrays do not belong together")
        if not (0 < len(self.roots) <= nodes and 0 <= self.depth <= MAX_DEPTH):
            raise UnfitTrees("its trees are too deep or too many")
        if not (_within(children, nodes) and _within(self.roots, nodes)):
            raise UnfitTrees("a branch leads nowhere")
        if np.any(children < ids) or not _within(self.feature, len(self.names)):
            raise UnfitTrees("a branch leads back, or asks for an unknown feature")
        numbers = (self.threshold, self.value, np.array([self.baseline]))
        if not all(np.isfinite(one).all() for one in numbers):
            raise UnfitTrees("a number is not finite")


def _within(numbers: NDArray[Any], end: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < end)))


def _metadata(content: bytes) -> dict[str, str]:
    """Return the file's own words about itself, which the numpy reader passes over."""
    length = int.from_bytes(content[:8], "little")
    about: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return about
