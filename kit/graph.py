"""Collects ONNX nodes and tensors, and writes the layers that take the time, in fp32 or INT8.

Rows are tokens, (T, width), without padding. INT8 gives every row a scale of its own, so that no
token's numbers depend on the others': docs/decisions/0009.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators
OPSETS = (("", 21), (MICROSOFT, 1))
IR_VERSION = 10
EPSILON = 1e-12
# GELU is never below -0.17: 16 of 255 steps hold what is negative, the others what is positive.
GELU_LEAST, GELU_ZERO = 0.17, 16
ZERO = 128

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


class Graph:
    """A growing graph; every method returns the name of what it adds."""

    def __init__(self, weights: Weights, *, is_int8: bool) -> None:
        self.weights = weights
        self.is_int8 = is_int8
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, onnx.TensorProto] = {}
        self._outputs: list[onnx.ValueInfoProto] = []

    def add(
        self, op: str, inputs: Sequence[str], output: str, *more: str, **attributes: Any
    ) -> str:
        """Add a node; `domain="com.microsoft"` for ONNX Runtime's own operators."""
        self._nodes.append(helper.make_node(op, inputs, [output, *more], name=output, **attributes))
        return output

    def tensor(self, name: str, value: Any = None) -> str:
        """Store one of the weights, or `value`, under its name."""
        array = np.asarray(self.weights[name] if value is None else value, order="C")
        self._tensors[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *values: int) -> str:
        """Store a vector of integers."""
        return self.tensor("ints_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def number(self, value: int) -> str:
        """Store a single integer."""
        return self.tensor(f"int_{value}", np.array(value, dtype=np.int64))

    def lookup(self, table: str, ids: str, output: str) -> str:
        """Take rows of an embedding table; in INT8 each row has its own scale."""
        if not self.is_int8:
            return self.add("Gather", [self.tensor(table), ids], output)
        rows, scales = _quantised(self.weights[table])
        self.add("Gather", [self.tensor(f"{table}.int8", rows), ids], f"{output}.int8")
        self.add("Gather", [self.tensor(f"{table}.scale", scales[:, None]), ids], f"{output}.scale")
        self.add("Cast", [f"{output}.int8"], f"{output}.float", to=TensorProto.FLOAT)
        return self.add("Mul", [f"{output}.float", f"{output}.scale"], output)

    def linear(self, x: str, layer: str, output: str) -> str:
        """Multiply rows (T, in) by a layer's matrix and add its bias: (T, out)."""
        weight, bias = self.weights[f"{layer}.weight"], self.weights[f"{layer}.bias"]
        if not self.is_int8:
            matrix = self.tensor(f"{layer}.matrix", weight.T)
            return self.add("Gemm", [x, matrix, self.tensor(f"{layer}.bias")], output)
        columns, scales = _quantised(weight)
        inputs = [
            f"{x}.uint8",
            self.tensor(f"{layer}.int8", columns.T),
            self.tensor("unit", np.float32(1)),
            self.tensor(f"{layer}.scale", scales),
            f"{x}.zero",
        ]
        self.add("MatMulIntegerToFloat", inputs, f"{output}.unscaled", domain=MICROSOFT)
        self.add("Mul", [f"{output}.unscaled", f"{x}.scale"], f"{output}.product")
        # As a (1, out) matrix: a vector would be fused into BiasGelu, which is slower than both.
        return self.add(
            "Add", [f"{output}.product", self.tensor(f"{layer}.bias", bias[None])], output
        )

    def quantise(self, x: str, *, is_gelu: bool = False) -> None:
        """Make rows (T, width) ready for `linear`; in fp32 they are."""
        if not self.is_int8:
            return
        zero, steps = (GELU_ZERO, 255 - GELU_ZERO) if is_gelu else (ZERO, 255 - ZERO)
        least = GELU_LEAST / GELU_ZERO if is_gelu else 1e-9  # a row of zeros still has a scale
        size = x if is_gelu else self.add("Abs", [x], f"{x}.size")
        self.add("ReduceMax", [size, self.ints(1)], f"{x}.most", keepdims=0)
        self.add(
            "Mul", [f"{x}.most", self.tensor(f"step_{steps}", np.float32(1 / steps))], f"{x}.step"
        )
        self.add("Max", [f"{x}.step", self.tensor(f"least_{zero}", np.float32(least))], f"{x}.rows")
        self.tensor(f"{x}.zero", np.uint8(zero))
        self.add("Shape", [f"{x}.rows"], f"{x}.count")
        self.add("Expand", [f"{x}.zero", f"{x}.count"], f"{x}.zeros")
        self.add("QuantizeLinear", [x, f"{x}.rows", f"{x}.zeros"], f"{x}.uint8", axis=0)
        self.add("Unsqueeze", [f"{x}.rows", self.ints(-1)], f"{x}.scale")

    def normalise(self, x: str, layer: str, output: str) -> str:
        """Normalise each row and apply a layer's scale and shift."""
        scale, shift = (self.tensor(f"{layer}.{part}") for part in ("weight", "bias"))
        return self.add("LayerNormalization", [x, scale, shift], output, epsilon=EPSILON)

    def output(self, name: str, *shape: str | int) -> None:
        """Declare a float output."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self, name: str, inputs: Sequence[str]) -> onnx.ModelProto:
        """Return the finished model; inputs are integers (batch, tokens)."""
        shape = ("batch", "tokens")
        values = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in inputs]
        graph = helper.make_graph(
            self._nodes, name, values, self._outputs, list(self._tensors.values())
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _quantised(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return a matrix's rows in INT8 and the scale of each."""
    scales = np.maximum(np.abs(matrix).max(axis=1), 1e-9) / 127
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales.astype(np.float32)
