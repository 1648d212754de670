"""What services need of a text model, and long texts cut into windows that overlap."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from anyio import to_thread
from fastapi import FastAPI
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic.config import JsonDict
from tokenizers import Encoding, Tokenizer

T = TypeVar("T", bound=str | Sequence[str])
W = TypeVar("W")


def _readable(text: str) -> str:
    if not text.strip():
        raise ValueError("it must not be blank")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    return text


# What a text field of a request carries besides its limits; the pattern is for the API document.
READABLE = AfterValidator(_readable)
VISIBLE: JsonDict = {"pattern": r"\S"}


class TextModel(Protocol):
    """One blocking method over a batch, and what describes it: `kit.onnx_model.OnnxText` or a fake."""

    name: str
    revision: str
    backend: str
    config: dict[str, Any]
    tokenizer: Tokenizer
    max_length: int

    def run(self, encodings: Sequence[Encoding]) -> Mapping[str, NDArray[np.float32]]:
        """Return the model's outputs by name, one row per encoding."""
        ...


INLINE_CHARS = 500  # tokenized in less time than the way to a thread and back takes


async def tokenized(windows: Callable[[Sequence[T]], W], texts: Sequence[T]) -> W:
    """Cut texts, or pairs of texts, into windows: short ones at once, others beside the event loop."""
    sizes = (len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts)
    if sum(sizes) <= INLINE_CHARS:
        return windows(texts)
    return await to_thread.run_sync(windows, texts)


def windows(model: TextModel, texts: Sequence[str], overlap: int) -> list[list[Encoding]]:
    """Tokenize each text into as many windows as it needs; nothing is dropped.

    Neighbours share `overlap` tokens. Blocking: about 1 ms per 1,000 characters.
    """
    room = model.max_length - model.tokenizer.num_special_tokens_to_add(is_pair=False)
    return [
        [model.tokenizer.post_process(part) for part in cut(whole, room, overlap)]
        for whole in _plain(model, texts)
    ]


def pair_windows(
    model: TextModel, first: Encoding, text: str, room: int, overlap: int
) -> list[Encoding]:
    """Tokenize `text` into windows of `room` tokens, each behind the whole of `first`."""
    (whole,) = _plain(model, [text])
    return [model.tokenizer.post_process(first, part) for part in cut(whole, room, overlap)]


def cut(whole: Encoding, room: int, overlap: int) -> list[Encoding]:
    """Cut an encoding into parts of at most `room` tokens; offsets still count in the whole text."""
    whole.truncate(room, stride=min(overlap, room // 2))
    return [whole, *whole.overflowing]


def _plain(model: TextModel, texts: Sequence[str]) -> list[Encoding]:
    # encode_batch lets other threads run meanwhile, encode does not.
    return model.tokenizer.encode_batch(list(texts), add_special_tokens=False)


def announce(app: FastAPI, model: TextModel) -> None:
    """Name the model in `/info` and in `switchboard_model_info`."""
    about = {"model": model.name, "revision": model.revision, "backend": model.backend}
    app.state.health.info.setdefault("models", []).append(about)
    app.state.metrics.model.labels(**about).set(1)
