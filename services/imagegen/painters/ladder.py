"""What is given up, step by step, when the device's memory runs out."""

import structlog

from services.imagegen.values import Card, Drawing

log = structlog.get_logger(__name__)


class Ladder:
    """How many pictures are painted at once, and how they are decoded, by their size.

    A pass that does not fit halves the bucket, a picture that cannot be decoded as a whole is
    decoded in tiles: for this size and all larger ones, until the process ends. Both are part of
    what a picture's bytes depend on, so they change for good and not from batch to batch.
    """

    def __init__(self, card: Card, slots: int) -> None:
        self._card = card
        self._slots = slots
        self._buckets: dict[int, int] = {}  # from this many pixels on
        self._tiled_from: int | None = None

    @property
    def limits(self) -> dict[str, int]:
        """Return what is not possible any more, for people to read."""
        tiled = {} if self._tiled_from is None else {"tiled_from_pixels": self._tiled_from}
        return {f"bucket_from_{size}_pixels": n for size, n in self._buckets.items()} | tiled

    def bucket(self, drawing: Drawing) -> int:
        """Return how many pictures of this size are painted at once."""
        pixels = self._pixels(drawing)
        fitting = (bucket for size, bucket in self._buckets.items() if size <= pixels)
        return min(fitting, default=self._slots)

    def is_tiled(self, drawing: Drawing) -> bool:
        """Tell whether a picture of this size is decoded in tiles."""
        return self._tiled_from is not None and self._tiled_from <= self._pixels(drawing)

    def halve(self, drawing: Drawing) -> bool:
        """Note that a pass did not fit; return False when it held one picture only."""
        bucket = self.bucket(drawing)
        if bucket > 1:
            self._buckets[self._pixels(drawing)] = bucket // 2
        log.warning("pass_does_not_fit", bucket=bucket, pixels=self._pixels(drawing))
        return bucket > 1

    def tile(self, drawing: Drawing) -> bool:
        """Note that a picture could not be decoded; return False when it was in tiles already."""
        was_tiled = self.is_tiled(drawing)
        if not was_tiled:
            self._tiled_from = self._pixels(drawing)
        log.warning("decoding_does_not_fit", tiled=was_tiled, pixels=self._pixels(drawing))
        return not was_tiled

    def _pixels(self, drawing: Drawing) -> int:
        width, height = self._card.painted(drawing)
        return width * height
