"""What a batch will cost, learnt from what batches have cost."""

import math
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

RECENT = 15  # batches whose median sets the pace
REMEMBERED = 128  # batches that the shape of the cost is fitted to, besides the calibration's
FIRST_FIT, LATER_FITS = 16, 128  # batches until the next fit, doubled each time up to the latter
STRAY = 4.0  # a batch so many times as far off as usual is none to learn from: it stalled

Row = tuple[int, int, float]
"""Items, padded tokens and seconds of one batch."""


class CostModel:
    """Predicts a batch's seconds: pace * (per_batch + per_item * items + per_token * padded tokens).

    The three costs come from a calibration and, slowly, from live batches; no cost is below zero.
    The pace is how fast the machine is at the moment: the median over the last batches of measured
    against predicted, so a batch that stalls changes nothing and a lasting change shows within eight.
    Long batches weigh more there: what a busy machine adds to short ones says little about the model.
    """

    def __init__(self) -> None:
        self.per_batch = self.per_item = self.per_token = 0.0
        self.pace = 1.0
        self._calibration: Sequence[Row] = ()
        self._rows: deque[Row] = deque(maxlen=REMEMBERED)
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT)  # ratio, predicted seconds
        self._until_fit = self._wait = FIRST_FIT

    def calibrate(self, rows: Sequence[Row]) -> None:
        """Start over from batches of known shapes, measured on an idle model."""
        self._calibration = rows
        self._rows.clear()
        usual = sorted(seconds for _, _, seconds in rows)[len(rows) // 2]
        self._recent.clear()
        self._recent.extend([(1.0, usual)] * (RECENT // 2))
        self.pace = 1.0
        self._until_fit = self._wait = FIRST_FIT
        self._fit(rows)

    def seconds(self, items: int, padded: int) -> float:
        """Predict a batch's duration at the present pace."""
        return self.pace * self.usual_seconds(items, padded)

    def padding_worth_a_batch(self) -> float:
        """Return the padded tokens that cost as much as running one more batch."""
        return self.per_batch / self.per_token if self.per_token else math.inf

    def observe(self, items: int, padded: int, seconds: float) -> None:
        """Learn from a batch that has run."""
        predicted = self.usual_seconds(items, padded)
        if predicted <= 0.0:
            return
        self._recent.append((seconds / predicted, predicted))
        self.pace = _weighted_median(self._recent)
        self._rows.append((items, padded, seconds / self.pace))
        self._until_fit -= 1
        if not self._until_fit:
            self._wait = self._until_fit = min(2 * self._wait, LATER_FITS)
            self._fit([*self._calibration, *self._rows])

    def usual_seconds(self, items: int, padded: float) -> float:
        """Predict a batch's duration at the pace of the calibration."""
        return self.per_batch + self.per_item * items + self.per_token * padded

    def _fit(self, rows: Iterable[Row]) -> None:
        shapes = np.array([(1.0, items, padded) for items, padded, _ in rows])
        seconds = np.array([seconds for _, _, seconds in rows])
        relative = shapes / np.maximum(seconds, 1e-9)[:, None]
        costs = _non_negative_fit(relative)
        off = np.abs(relative @ costs - 1)
        costs = _non_negative_fit(relative[off <= STRAY * np.median(off) + 0.01])
        self.per_batch, self.per_item, self.per_token = map(float, costs)


def _weighted_median(weighted: Collection[tuple[float, float]]) -> float:
    """Return the value with half of the weight on each side; no single one outweighs the others."""
    total = sum(weight for _, weight in weighted)
    most = max(weight for _, weight in weighted)
    capped = min(most, 0.9 * (total - most)) if len(weighted) > 1 else most
    half = (total - most + capped) / 2
    for value, weight in sorted(weighted):
        half -= min(weight, capped)
        if half < 0:
            return value
    return max(weighted)[0]


def _non_negative_fit(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the costs >= 0 with the least squared relative error, of as few kinds as will do."""
    gram, sums = relative.T @ relative, relative.sum(axis=0)
    best, least = np.zeros(3), math.inf
    for kinds in (kinds for size in (1, 2, 3) for kinds in combinations(range(3), size)):
        part = gram[np.ix_(kinds, kinds)]
        part = part + np.diag(1e-9 * np.diag(part))  # shapes that only ever vary together
        found = np.linalg.solve(part, sums[list(kinds)])
        error = len(relative) - 2 * found @ sums[list(kinds)] + found @ part @ found
        if (found >= 0).all() and error < least - 1e-6 * len(relative):
            best, least = np.zeros(3), error
            best[list(kinds)] = found
    return best
