"""What all ONNX servers share: the same graph, tokenizer and session options, texts in, scores out.

Knows nothing of this repository, because a peer runs it in an environment of its own.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

Scores = list[dict[str, str | float]]
MAX_TOKENS = 512


class Model:
    """Scores a batch padded to its longest text, as the frameworks' own examples do."""

    def __init__(self) -> None:
        folder = Path(os.environ["MODEL_DIR"])
        config = json.loads((folder / "config.json").read_text())
        self._labels = [config["id2label"][str(n)] for n in range(len(config["id2label"]))]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = folder / "onnx/model_quantized.onnx"
        self._session = ort.InferenceSession(graph, options, ["CPUExecutionProvider"])
        self._inputs = [node.name for node in self._session.get_inputs()]

    def __call__(self, texts: Sequence[str]) -> list[Scores]:
        """Return every label's probability for each text, best first."""
        encodings = self._tokenizer.encode_batch(list(texts))
        feed = {
            "input_ids": np.array([encoding.ids for encoding in encodings]),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings]),
            "token_type_ids": np.array([encoding.type_ids for encoding in encodings]),
        }
        (logits,) = self._session.run(["logits"], {name: feed[name] for name in self._inputs})
        return [self._ranked(row) for row in 1 / (1 + np.exp(-logits))]

    def _ranked(self, row: Sequence[float]) -> Scores:
        pairs = sorted(zip(map(float, row), self._labels, strict=True), reverse=True)
        return [{"label": label, "score": round(score, 6)} for score, label in pairs]
