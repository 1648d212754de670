"""From a passage's share of the probability to how often such a passage is right."""

import math
from collections.abc import Mapping, Sequence

LEAST = 1e-6  # shares are told from 0 and 1 no further


class Calibration:
    """Platt's sigmoid over a share's log odds (Platt 1999), one per language.

    Shares of a language in which the model is weak promise too much or too little; fitted on answers
    that were judged, the score says how often such an answer is right. The order of answers is kept.
    """

    def __init__(self, by_language: Mapping[str, Sequence[float]]) -> None:
        self._by_language = {name: (slope, offset) for name, (slope, offset) in by_language.items()}

    def knows(self, language: str) -> bool:
        """Tell whether scores of a language were fitted."""
        return language in self._by_language

    def score(self, share: float, language: str) -> float:
        """Return the probability that a passage is right; the share itself where none was fitted."""
        if not self.knows(language):
            return share
        slope, offset = self._by_language[language]
        return 1 / (1 + math.exp(-(slope * log_odds(share) + offset)))


def log_odds(share: float) -> float:
    """Return log(share / (1 - share)), finite also for 0 and 1."""
    inside = min(max(share, LEAST), 1 - LEAST)
    return math.log(inside / (1 - inside))
