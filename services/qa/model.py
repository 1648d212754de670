"""Extractive question answering: where in the context is the answer?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from kit.errors import Unprocessable
from kit.models import resolve
from kit.onnx_model import OnnxText
from kit.text import TextModel, pair_windows
from services.qa.calibration import Calibration
from services.qa.settings import Settings
from services.qa.spans import Span, WindowSpans, best_spans, distinct

MIN_ROOM = 32  # tokens of context beside a question; fewer make no sense of it
CANDIDATES = 10  # spans kept per window, as many as a caller may ask for

Row = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """The question and a part of the context in tokens, and how many of them an answer may have."""

    encoding: Encoding
    longest: int

    def __len__(self) -> int:
        return len(self.encoding)


class Reader:
    """A model with a start and an end logit per token (BERT for SQuAD, Devlin et al. 2018)."""

    def __init__(
        self, model: TextModel, *, window: int = 384, overlap: int = 64, longest: int = 48
    ) -> None:
        self.model = model
        self._window = min(window, model.max_length)
        self._overlap = overlap
        self._longest = longest
        # Fitted where the model was trained: log odds from which a span counts as an answer.
        self._threshold = float(model.config.get("no_answer_threshold", 0.0))
        self.calibration = Calibration(model.config.get("score_calibration", {}))

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Load the configured model; blocking. Raises ModelUnavailable."""
        files = resolve(settings.model, settings.models_dir)
        model = OnnxText(
            files,
            precision=settings.precision,
            threads=settings.threads,
            device=settings.device,
        )
        return cls(
            model,
            window=settings.window_tokens,
            overlap=settings.overlap_tokens,
            longest=settings.answer_tokens,
        )

    def windows(self, question: str, context: str, longest: int | None = None) -> list[Window]:
        """Tokenize the context into overlapping windows, each behind the question; blocking.

        Answers have at most `longest` tokens, and never more than the reader's own limit. Raises Unprocessable when the question leaves no room for the context.
        """
        asked = self.model.tokenizer.encode(question, add_special_tokens=False)
        special = self.model.tokenizer.num_special_tokens_to_add(is_pair=True)
        room = self._window - special - len(asked)
        if room < MIN_ROOM:
            most = self._window - special - MIN_ROOM
            raise Unprocessable(
                f"The question has {len(asked)} tokens; this model takes at most {most}."
            )
        most = min(longest or self._longest, self._longest)
        parts = pair_windows(self.model, asked, context, room, self._overlap)
        return [Window(part, most) for part in parts]

    def read(self, windows: list[Window]) -> Sequence[WindowSpans]:
        """Return each window's best spans; blocking."""
        logits = self.model.run([window.encoding for window in windows])
        starts, ends = logits["start_logits"], logits["end_logits"]
        return [self._spans(*row) for row in zip(windows, starts, ends, strict=True)]

    def _spans(self, window: Window, start: Row, end: Row) -> WindowSpans:
        sequences = window.encoding.sequence_ids
        first = sequences.index(1) if 1 in sequences else len(sequences)
        size = sequences.count(1)
        return best_spans(
            start,
            end,
            window.encoding.offsets[first : first + size],
            first=first,
            longest=window.longest,
            count=CANDIDATES,
            threshold=self._threshold,
        )


def answers(
    windows: Sequence[WindowSpans], context: str, count: int
) -> tuple[list[tuple[Span, float]], float]:
    """Return the best spans of all windows with their probabilities, and that of "no answer".

    All spans of all windows share one softmax with "no answer", whose log odds are 0.
    """
    total = np.logaddexp.reduce([0.0, *(window.log_odds for window in windows)])
    spans = distinct((span for window in windows for span in window.best), context, count)
    scored = [(span, float(np.exp(span.log_odds - total))) for span in spans]
    return scored, float(np.exp(-total))
