"""A tokenizer and an ONNX graph of a BERT-like encoder, loaded from a hub-like folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kit.models import LocalModel, ModelUnavailable

Precision = Literal["auto", "int8", "fp16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]
FULL = ("onnx/model.onnx", "model.onnx")
SMALL = ("onnx/model_quantized.onnx", "model_quantized.onnx")
HALF = ("onnx/model_fp16.onnx", "model_fp16.onnx")
PREFERRED = {"int8": SMALL + FULL, "fp16": HALF + FULL + SMALL, "fp32": FULL + SMALL}
KINDS = {"model_quantized.onnx": "int8", "model_fp16.onnx": "fp16", "model.onnx": "fp32"}
# Their positions start behind that of the padding: 2 more than tokens.
SHIFTED = {"roberta", "xlm-roberta", "camembert", "mpnet"}
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class OnnxText:
    """Runs encodings through the graph; blocking, so call it from the batcher's thread.

    `precision` says which graph is preferred, INT8 or fp32; the other one serves when only that
    exists. `auto` is INT8 on a CPU and fp16 on a GPU. `device` `auto` takes a GPU where one works.
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
        ort.disable_telemetry_events()  # nobody outside learns what runs here
        self._session, self.backend = _open(model, precision, _options(threads), device)
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


def _open(
    model: LocalModel, precision: Precision, options: ort.SessionOptions, device: Device
) -> tuple[ort.InferenceSession, str]:
    """Open a graph on the device; return it and its name for `/info`. Raises ModelUnavailable."""
    if device != "cpu" and CUDA in ort.get_available_providers():
        ort.preload_dlls()  # CUDA's own libraries, from NVIDIA's packages
        graph, kind = _graph(model, "fp16" if precision == "auto" else precision)
        session = ort.InferenceSession(graph, options, providers=[CUDA, CPU])
        if CUDA in session.get_providers():  # ONNX Runtime falls back without a word
            return session, f"onnxruntime-cuda-{kind}"
    if device == "cuda":
        raise ModelUnavailable(
            "No GPU can be used: it takes an NVIDIA driver, and onnxruntime-gpu in place of"
            " onnxruntime (pip uninstall onnxruntime; pip install '.[gpu]')."
        )
    graph, kind = _graph(model, "int8" if precision == "auto" else precision)
    return ort.InferenceSession(graph, options, providers=[CPU]), f"onnxruntime-{kind}"


def _graph(model: LocalModel, precision: str) -> tuple[Path | bytes, str]:
    """Return a file, or a graph made just now, and what it computes in."""
    file = model.file(*PREFERRED[precision])
    kind = KINDS[file.name]
    if (precision, kind) != ("fp16", "fp32"):
        return file, kind
    try:
        from kit.half import halved
    except ImportError as error:
        raise ModelUnavailable("Half precision needs pip install '.[gpu]'.") from error
    return halved(file), "fp16"


def _positions(config: dict[str, Any]) -> int:
    """Return the most tokens a window may have."""
    positions = int(config.get("max_position_embeddings", 512))
    return positions - 2 if config.get("model_type") in SHIFTED else positions


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin steal the cores from the other services on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
