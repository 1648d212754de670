"""How many batches the waiting inputs will make, and what those cost."""

import math

from kit.cost import CostModel

PER_OCTAVE = 4  # lengths of one bucket differ by less than a fifth
PADDING = 0.15  # share of a batch that may be padding, whatever it costs


class Packing:
    """Counts the inputs that wait by length; enough to foresee the batches without forming them."""

    def __init__(self, cost: CostModel, max_items: int, max_tokens: int) -> None:
        self._cost = cost
        self._max_items, self._max_tokens = max_items, max_tokens
        self._counts: dict[int, int] = {}
        self._tokens: dict[int, int] = {}

    def add(self, tokens: int, count: int = 1) -> None:
        """Count an input of this length, or no longer."""
        bucket = int(PER_OCTAVE * math.log2(tokens))
        self._counts[bucket] = self._counts.get(bucket, 0) + count
        self._tokens[bucket] = self._tokens.get(bucket, 0) + count * tokens
        if not self._counts[bucket]:
            del self._counts[bucket], self._tokens[bucket]

    def full(self, tokens: float) -> int:
        """Return how many inputs of one length make a batch."""
        return min(self._max_items, max(1, int(self._max_tokens / tokens)))

    def allows(self, padding: float, padded: float) -> bool:
        """Tell whether so much padding in a batch costs less than one more batch, or is little."""
        return padding <= max(self._cost.padding_worth_a_batch(), PADDING * padded)

    def work_of(self, tokens: int) -> float:
        """Return an input's seconds at the usual pace, in a full batch of its own length."""
        cost = self._cost
        return cost.per_batch / self.full(tokens) + cost.per_item + cost.per_token * tokens

    def seconds(self) -> float:
        """Return what all batches will take at the usual pace, filled from short to long."""
        cost = self._cost
        total = 0.0
        size, used, longest = 0, 0.0, 0.0
        for bucket in sorted(self._counts):
            left = self._counts[bucket]
            usual = self._tokens[bucket] / left
            while left:
                joining = min(left, self.full(usual) - size)
                padded = (size + joining) * usual
                if size and not (joining > 0 and self.allows(size * usual - used, padded)):
                    total += cost.usual_seconds(size, longest * size)
                    size, used = 0, 0.0
                    continue
                size, left, longest = size + joining, left - joining, usual
                used += joining * usual
        return total + (cost.usual_seconds(size, longest * size) if size else 0.0)
