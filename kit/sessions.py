"""Where a graph runs and what it computes in: on a CPU or a GPU, in INT8, fp16 or fp32."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from kit.models import LocalModel, ModelUnavailable

Precision = Literal["auto", "int8", "fp16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]
FULL = ("onnx/model.onnx", "model.onnx")
SMALL = ("onnx/model_quantized.onnx", "model_quantized.onnx")
HALF = ("onnx/model_fp16.onnx", "model_fp16.onnx")
PREFERRED = {"int8": SMALL + FULL, "fp16": HALF + FULL + SMALL, "fp32": FULL + SMALL}
KINDS = {"model_quantized.onnx": "int8", "model_fp16.onnx": "fp16", "model.onnx": "fp32"}
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@dataclass(frozen=True)
class Opened:
    """A running graph, the file or bytes that it came from, and its name for `/info`."""

    session: ort.InferenceSession
    graph: Path | bytes
    backend: str

    @property
    def content(self) -> bytes:
        """Return the graph's bytes."""
        return self.graph if isinstance(self.graph, bytes) else self.graph.read_bytes()


def opened(model: LocalModel, precision: Precision, device: Device, threads: int) -> Opened:
    """Open the preferred graph on the device; the one that exists serves when the other does not.

    `auto` precision is INT8 on a CPU and fp16 on a GPU; `auto` device is a GPU where one works.
    Raises ModelUnavailable.
    """
    ort.disable_telemetry_events()  # nobody outside learns what runs here
    options = _options(threads)
    if device != "cpu" and CUDA in ort.get_available_providers():
        ort.preload_dlls()  # CUDA's own libraries, from NVIDIA's packages
        graph, kind = _graph(model, "fp16" if precision == "auto" else precision)
        session = ort.InferenceSession(graph, options, providers=[CUDA, CPU])
        if CUDA in session.get_providers():  # ONNX Runtime falls back without a word
            return Opened(session, graph, f"onnxruntime-cuda-{kind}")
    if device == "cuda":
        raise ModelUnavailable(
            "No GPU can be used: it takes an NVIDIA driver, and onnxruntime-gpu in place of"
            " onnxruntime (pip uninstall onnxruntime; pip install '.[gpu]')."
        )
    graph, kind = _graph(model, "int8" if precision == "auto" else precision)
    session = ort.InferenceSession(graph, options, providers=[CPU])
    return Opened(session, graph, f"onnxruntime-{kind}")


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


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin steal the cores from the other services on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
