"""A tokenizer and an ONNX graph of a BERT-like encoder, loaded from a hub-like folder."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kit.models import LocalModel
from kit.sessions import Device, Precision, opened

__all__ = ["Device", "OnnxText", "Precision"]

# Their positions start behind that of the padding: 2 more than tokens.
SHIFTED = {"roberta", "xlm-roberta", "camembert", "mpnet"}


class OnnxText:
    """Runs encodings through the graph; blocking, so call it from the batcher's thread.

    `precision` and `device` are explained in kit/sessions.py.
    """

    def __init__(
        self,
        model: LocalModel,
        *,
        precision: Precision = "int8",
        threads: int = 1,
        device: Device = "cpu",
    ) -> None:
        self.name = model.name
        self.revision = model.revision
        self.config: dict[str, Any] = json.loads(
            model.file("config.json", "onnx/config.json").read_text()
        )
        self.tokenizer = Tokenizer.from_file(
            str(model.file("tokenizer.json", "onnx/tokenizer.json"))
        )
        # Long texts are the caller's to cut into windows: nothing is dropped in silence.
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.max_length = _positions(self.config)
        running = opened(model, precision, device, threads)
        self.backend = running.backend
        self._session = running.session
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._outputs = [node.name for node in self._session.get_outputs()]

    def run(self, encodings: Sequence[Encoding]) -> dict[str, NDArray[np.float32]]:
        """Pad to the longest encoding and return the graph's outputs by name, batch first."""
        longest = max(len(encoding) for encoding in encodings)
        shape = (len(encodings), longest)
        feed = {
            "input_ids": np.full(shape, self.config.get("pad_token_id") or 0, dtype=np.int64),
            "attention_mask": np.zeros(shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
        }
        for row, encoding in enumerate(encodings):
            size = len(encoding)
            feed["input_ids"][row, :size] = encoding.ids
            feed["attention_mask"][row, :size] = 1
            feed["token_type_ids"][row, :size] = encoding.type_ids
        wanted = {name: value for name, value in feed.items() if name in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, wanted), strict=True))


def _positions(config: dict[str, Any]) -> int:
    """Return the most tokens a window may have."""
    positions = int(config.get("max_position_embeddings", 512))
    return positions - 2 if config.get("model_type") in SHIFTED else positions
