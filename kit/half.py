"""A graph in half precision, for GPUs: half the memory and a multiple of the speed."""

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16


def halved(graph: Path) -> bytes:
    """Return a graph of less than 2 GB with fp16 inside; what goes in and comes out stays fp32."""
    converted = convert_float_to_float16(onnx.load(graph), keep_io_types=True)
    written: bytes = converted.SerializeToString()
    return written
