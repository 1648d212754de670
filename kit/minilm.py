"""Write MiniLM, our LoRA adapters merged in, as ONNX graphs: no torch needed to prepare a model.

The encoder is BERT (Devlin et al. 2018) with 6 layers of width 384; the graph uses ONNX Runtime's
fused operators, so that nothing is left for an optimiser to find. Heads: `embed` gives unit
vectors (B, 384), `classify` logits (B, labels), `span` start and end logits (B, S).
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

LAYERS = 6
HEADS = 12
EPSILON = 1e-12
OPSETS = (("", 17), ("com.microsoft", 1))

Weights = dict[str, NDArray[np.float32]]
Head = Literal["embed", "classify", "span"]


def build(base: Path, adapter: Path | None, target: Path) -> None:
    """Write a hub-like model folder: graphs in fp32 and INT8, tokenizer, config, thresholds."""
    described: dict[str, Any] = (
        json.loads((adapter / "adapter.json").read_text()) if adapter else {"head": "embed"}
    )
    weights = merged(base, adapter, described)
    (target / "onnx").mkdir(parents=True)
    graph = _Graph(weights).encoder().head(described["head"], described.get("pooling", "mean"))
    full, small = target / "onnx/model.onnx", target / "onnx/model_quantized.onnx"
    onnx.save(graph.model(), full)
    logging.getLogger().addFilter(_no_advice)
    quantize_dynamic(
        full,
        small,
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_exclude=["head"],  # tiny, and the answer is most sensitive to it
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    for name in ("tokenizer.json", "config.json", "thresholds.json", "adapter.json"):
        sources = [folder / name for folder in (adapter, base) if folder]
        found = next((source for source in sources if source.exists()), None)
        if found:
            shutil.copyfile(found, target / name)


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop the quantiser's advice to optimise first: these graphs are written fused."""
    return "pre-processing before quantization" not in record.getMessage()


def merged(base: Path, adapter: Path | None, described: Mapping[str, Any]) -> Weights:
    """Return the base's weights with `W + alpha/rank * B @ A` merged in, and the head's."""
    weights = {
        name.removeprefix("bert."): value.astype(np.float32)
        for name, value in load_file(base / "model.safetensors").items()
        if not name.endswith("position_ids")
    }
    if adapter is None:
        return weights
    trained = {
        name: value.astype(np.float32)
        for name, value in load_file(adapter / "adapter.safetensors").items()
    }
    scale = described["alpha"] / described["rank"]
    for name in [name for name in trained if name.endswith(".lora_A")]:
        stem = name.removesuffix(".lora_A")
        weights[f"{stem}.weight"] += scale * trained.pop(f"{stem}.lora_B") @ trained.pop(name)
    return weights | trained  # the head, and whatever else was trained in full


class _Graph:
    """Collects nodes and tensors; each method adds one part and returns self."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.outputs: list[onnx.ValueInfoProto] = []

    def add(
        self, op: str, inputs: Sequence[str], output: str, *more: str, **attributes: Any
    ) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output, *more], name=output, **attributes))
        return output

    def tensor(self, name: str, value: NDArray[Any] | None = None) -> str:
        """Store one of the weights, or `value`, under its name."""
        array = self.weights[name] if value is None else value
        self.tensors[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def ints(self, name: str, *values: int) -> str:
        return self.tensor(name, np.array(values, dtype=np.int64))

    def matmul(self, x: str, matrix: NDArray[np.float32], output: str) -> str:
        return self.add("MatMul", [x, self.tensor(f"{output}.T", matrix.T)], output)

    def encoder(self) -> "_Graph":
        x = self._embeddings()
        self.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        self.add("Identity", [x], "hidden")
        return self

    def _embeddings(self) -> str:
        words = self.tensor("embeddings.word_embeddings.weight")
        types = self.tensor("embeddings.token_type_embeddings.weight")
        positions = self.tensor("embeddings.position_embeddings.weight")
        self.add("Gather", [words, "input_ids"], "words")
        # Kept out of Gather: the INT8 step would turn a table of two rows into noise.
        self.add("OneHot", ["token_type_ids", self.ints("two", 2), self._on_off()], "which_type")
        self.add("MatMul", ["which_type", types], "types")
        self.add("Shape", ["input_ids"], "length", start=1, end=2)
        self.add("Slice", [positions, self.ints("zero", 0), "length"], "positions")
        self.add("Add", ["words", "types"], "words_types")
        self.add("Add", ["words_types", "positions"], "embedded")
        scale = self.tensor("embeddings.LayerNorm.weight")
        bias = self.tensor("embeddings.LayerNorm.bias")
        return self.add(
            "LayerNormalization", ["embedded", scale, bias], "embeddings", epsilon=EPSILON
        )

    def _on_off(self) -> str:
        return self.tensor("off_on", np.array([0, 1], dtype=np.float32))

    def _layer(self, x: str, at: str) -> str:
        attended = self._attention(x, at)
        middle = self._normed(x, attended, f"{at}.attention.output")
        wide = self.matmul(middle, self.weights[f"{at}.intermediate.dense.weight"], f"{at}.wide")
        bias = self.tensor(f"{at}.intermediate.dense.bias")
        bent = self.add("BiasGelu", [wide, bias], f"{at}.bent", domain="com.microsoft")
        return self._normed(middle, bent, f"{at}.output")

    def _attention(self, x: str, at: str) -> str:
        parts = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.weights[f"{part}.weight"] for part in parts])
        bias = np.concatenate([self.weights[f"{part}.bias"] for part in parts])
        packed = self.matmul(x, weight, f"{at}.qkv")
        query, key, value = (f"{at}.{letter}" for letter in "qkv")
        self.add("Split", [packed], query, key, value, axis=2)
        return self.add(
            "MultiHeadAttention",
            [query, key, value, self.tensor(f"{at}.qkv.bias", bias), "mask"],
            f"{at}.attended",
            domain="com.microsoft",
            num_heads=HEADS,
        )

    def _normed(self, residual: str, x: str, at: str) -> str:
        """Project `x`, add it to the residual and normalise."""
        projected = self.matmul(x, self.weights[f"{at}.dense.weight"], f"{at}.projected")
        scale, shift = (self.tensor(f"{at}.LayerNorm.{part}") for part in ("weight", "bias"))
        bias = self.tensor(f"{at}.dense.bias")
        return self.add(
            "SkipLayerNormalization",
            [projected, residual, scale, shift, bias],
            f"{at}.normed",
            domain="com.microsoft",
            epsilon=EPSILON,
        )

    def head(self, kind: Head, pooling: str) -> "_Graph":
        if kind == "span":
            return self._span()
        pooled = self._mean() if pooling == "mean" else self._first()
        if kind == "embed":
            self.add("LpNormalization", [pooled], "sentence_embedding", axis=1, p=2)
            return self._output("sentence_embedding", "batch", self.weights_width)
        self.matmul(pooled, self.weights["head.weight"], "head")
        self.add("Add", ["head", self.tensor("head.bias")], "logits")
        return self._output("logits", "batch", len(self.weights["head.bias"]))

    @property
    def weights_width(self) -> int:
        return int(self.weights["embeddings.LayerNorm.bias"].shape[0])

    def _mean(self) -> str:
        self.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
        self.add("Unsqueeze", ["mask_float", self.ints("last", -1)], "mask_column")
        self.add("Mul", ["hidden", "mask_column"], "kept")
        self.add("ReduceSum", ["kept", self.ints("one", 1)], "total", keepdims=0)
        self.add("ReduceSum", ["mask_column", "one"], "count", keepdims=0)
        return self.add("Div", ["total", "count"], "pooled")

    def _first(self) -> str:
        index = self.tensor("first", np.array(0, dtype=np.int64))
        return self.add("Gather", ["hidden", index], "pooled", axis=1)

    def _span(self) -> "_Graph":
        self.matmul("hidden", self.weights["head.weight"], "head")
        self.add("Add", ["head", self.tensor("head.bias")], "both")
        self.add("Split", ["both"], "start_column", "end_column", axis=2)
        last = self.ints("last", -1)
        for side in ("start", "end"):
            self.add("Squeeze", [f"{side}_column", last], f"{side}_logits")
            self._output(f"{side}_logits", "batch", "tokens")
        return self

    def _output(self, name: str, *shape: str | int) -> "_Graph":
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self

    def model(self) -> onnx.ModelProto:
        names = ("input_ids", "attention_mask", "token_type_ids")
        shape = ("batch", "tokens")
        inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in names]
        graph = helper.make_graph(
            self.nodes, "minilm", inputs, self.outputs, list(self.tensors.values())
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)
