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

STRETCH = 1.5  # no text is padded to more than so many times its length
# One scale for a whole batch: such a graph gives its neighbours a say in a text's answer.
BATCH_SCALED = b"DynamicQuantizeLinear"
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
        self._stretch = 0.0 if BATCH_SCALED in running.content else STRETCH
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._outputs = [node.name for node in self._session.get_outputs()]

    def run(self, encodings: Sequence[Encoding]) -> dict[str, NDArray[np.float32]]:
        """Return the graph's outputs by name, batch first; beyond a text's end they mean nothing.

        Texts of like length run together, so that little is padded. Company changes no bit of the
        answers of our own graphs, and no more than the last digits of others'.
        """
        groups = _alike([len(encoding) for encoding in encodings], self._stretch)
        parts = [(rows, self._run_padded([encodings[row] for row in rows])) for rows in groups]
        return {
            name: _in_order(len(encodings), [(rows, part[at]) for rows, part in parts])
            for at, name in enumerate(self._outputs)
        }

    def _run_padded(self, encodings: Sequence[Encoding]) -> list[NDArray[np.float32]]:
        shape = (len(encodings), max(map(len, encodings)))
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
        outputs: list[NDArray[np.float32]] = self._session.run(self._outputs, wanted)
        return outputs


def _alike(lengths: Sequence[int], stretch: float) -> list[list[int]]:
    """Group rows whose lengths differ by at most `stretch` times; below 1 each is alone."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if groups and lengths[row] <= stretch * lengths[groups[-1][0]]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _in_order(
    count: int, parts: Sequence[tuple[list[int], NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """Put the groups' rows together in the order of the texts."""
    shape = np.max([part.shape[1:] for _, part in parts], axis=0)
    whole = np.zeros((count, *shape), dtype=np.float32)
    for rows, part in parts:
        own: Any = (rows, *(slice(size) for size in part.shape[1:]))
        whole[own] = part
    return whole


def _positions(config: dict[str, Any]) -> int:
    """Return the most tokens a window may have."""
    positions = int(config.get("max_position_embeddings", 512))
    return positions - 2 if config.get("model_type") in SHIFTED else positions
