"""Write MiniLM, our LoRA adapters merged in, as ONNX graphs: no torch needed to prepare a model.

The encoder is BERT (Devlin et al. 2018) with 6 layers of width 384; the graph uses ONNX Runtime's
fast operators, so that nothing is left for an optimiser to find. Padding is taken out before the
first layer and put back only for attention. Heads: `embed` gives unit vectors (B, 384), `classify`
logits (B, labels), `span` start and end logits (B, S).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto
from safetensors.numpy import load_file

from kit.graph import MICROSOFT, Floats, Graph, Weights

LAYERS = 6
HEADS = 12
WIDTH = 384
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
GRAPHS = {"onnx/model.onnx": False, "onnx/model_quantized.onnx": True}

Head = Literal["embed", "classify", "span"]


def build(base: Path, adapter: Path | None, target: Path) -> None:
    """Write a hub-like model folder: graphs in fp32 and INT8, tokenizer, config, thresholds."""
    described: dict[str, Any] = (
        json.loads((adapter / "adapter.json").read_text()) if adapter else {"head": "embed"}
    )
    weights = merged(base, adapter, described)
    (target / "onnx").mkdir(parents=True)
    for name, is_int8 in GRAPHS.items():
        graph = Graph(weights, is_int8=is_int8)
        _encoder(graph)
        _head(graph, described["head"], described.get("pooling", "mean"))
        onnx.save(graph.model("minilm", INPUTS), target / name)
    for name in ("tokenizer.json", "config.json", "thresholds.json", "adapter.json"):
        sources = [folder / name for folder in (adapter, base) if folder]
        found = next((source for source in sources if source.exists()), None)
        if found:
            shutil.copyfile(found, target / name)


def merged(base: Path, adapter: Path | None, described: Mapping[str, Any]) -> Weights:
    """Return the base's weights with `W + alpha/rank * B @ A` merged in, and the head's."""
    weights = {
        name.removeprefix("bert."): value.astype(np.float32)
        for name, value in load_file(base / "model.safetensors").items()
        if not name.endswith("position_ids")
    }
    if adapter is None:
        return weights
    trained: dict[str, Floats] = {
        name: value.astype(np.float32)
        for name, value in load_file(adapter / "adapter.safetensors").items()
    }
    scale = described["alpha"] / described["rank"]
    for name in [name for name in trained if name.endswith(".lora_A")]:
        stem = name.removesuffix(".lora_A")
        weights[f"{stem}.weight"] += scale * trained.pop(f"{stem}.lora_B") @ trained.pop(name)
    return weights | trained  # the head, and whatever else was trained in full


def _encoder(graph: Graph) -> None:
    """Turn the inputs into `hidden` (batch, tokens, width)."""
    _places(graph)
    x = _embeddings(graph)
    for layer in range(LAYERS):
        x = _layer(graph, x, f"encoder.layer.{layer}")
    _padded(graph, x, "hidden")


def _places(graph: Graph) -> None:
    """Find where each real token stands: `index` of every kept one, `place` of each in the kept."""
    graph.add("Reshape", ["attention_mask", graph.ints(-1)], "flat_mask")
    graph.add("NonZero", ["flat_mask"], "kept")
    graph.add("Reshape", ["kept", graph.ints(-1)], "index")
    graph.add("CumSum", ["flat_mask", graph.number(0)], "counted")
    graph.add("Sub", ["counted", graph.number(1)], "rank")
    graph.add("Max", ["rank", graph.number(0)], "place")  # padding repeats a token, unseen
    graph.add("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    graph.add("Shape", ["input_ids"], "shape")
    graph.add("Concat", ["shape", graph.ints(WIDTH)], "padded_shape", axis=0)
    graph.add("Shape", ["input_ids"], "length", start=1, end=2)


def _embeddings(graph: Graph) -> str:
    for name in ("input_ids", "token_type_ids"):
        graph.add("Reshape", [name, graph.ints(-1)], f"flat_{name}")
        graph.add("Gather", [f"flat_{name}", "index"], f"kept_{name}")
    graph.add("Mod", ["index", "length"], "position")
    graph.lookup("embeddings.word_embeddings.weight", "kept_input_ids", "words")
    for name, ids in (("token_type", "kept_token_type_ids"), ("position", "position")):
        table = graph.tensor(f"embeddings.{name}_embeddings.weight")
        graph.add("Gather", [table, ids], f"{name}s")
    graph.add("Add", ["words", "token_types"], "words_types")
    graph.add("Add", ["words_types", "positions"], "embedded")
    return graph.normalise("embedded", "embeddings.LayerNorm", "embeddings")


def _layer(graph: Graph, x: str, at: str) -> str:
    attended = _attention(graph, x, at)
    middle = _normed(graph, x, attended, f"{at}.attention.output")
    graph.quantise(middle)
    wide = graph.linear(middle, f"{at}.intermediate.dense", f"{at}.wide")
    bent = graph.add("Gelu", [wide], f"{at}.bent")
    return _normed(graph, middle, bent, f"{at}.output", is_gelu=True)


def _attention(graph: Graph, x: str, at: str) -> str:
    graph.quantise(x)
    parts = [
        _padded(
            graph,
            graph.linear(x, f"{at}.attention.self.{part}", f"{at}.{part}"),
            f"{at}.{part}.padded",
        )
        for part in ("query", "key", "value")
    ]
    seen = f"{at}.seen"
    graph.add("MultiHeadAttention", [*parts, "", "mask"], seen, domain=MICROSOFT, num_heads=HEADS)
    graph.add("Reshape", [seen, graph.ints(-1, WIDTH)], f"{seen}.flat")
    return graph.add("Gather", [f"{seen}.flat", "index"], f"{at}.attended")


def _padded(graph: Graph, x: str, output: str) -> str:
    """Put rows (T, width) back to where they stand in (batch, tokens, width)."""
    graph.add("Gather", [x, "place"], f"{output}.flat")
    return graph.add("Reshape", [f"{output}.flat", "padded_shape"], output)


def _normed(graph: Graph, residual: str, x: str, at: str, *, is_gelu: bool = False) -> str:
    """Project `x`, add it to the residual and normalise."""
    graph.quantise(x, is_gelu=is_gelu)
    graph.linear(x, f"{at}.dense", f"{at}.projected")
    graph.add("Add", [f"{at}.projected", residual], f"{at}.sum")
    # SkipLayerNormalization does the same in one node, and is six times slower.
    return graph.normalise(f"{at}.sum", f"{at}.LayerNorm", f"{at}.normed")


def _head(graph: Graph, kind: Head, pooling: str) -> None:
    if kind == "span":
        _span(graph)
        return
    pooled = _mean(graph) if pooling == "mean" else _first(graph)
    if kind == "embed":
        graph.add("LpNormalization", [pooled], "sentence_embedding", axis=1, p=2)
        graph.output("sentence_embedding", "batch", WIDTH)
        return
    _small(graph, pooled, "logits")
    graph.output("logits", "batch", len(graph.weights["head.bias"]))


def _small(graph: Graph, x: str, output: str) -> str:
    """Apply the trained head; in fp32, because it is tiny and the answer most sensitive to it."""
    matrix = graph.tensor("head.matrix", graph.weights["head.weight"].T)
    graph.add("MatMul", [x, matrix], f"{output}.product")
    return graph.add("Add", [f"{output}.product", graph.tensor("head.bias")], output)


def _mean(graph: Graph) -> str:
    graph.add("Cast", ["attention_mask"], "weights", to=TensorProto.FLOAT)
    graph.add("Unsqueeze", ["weights", graph.ints(1)], "weight_row")
    # Two rows, because the product of a single one is rounded by the padded length.
    graph.add("Concat", ["weight_row", "weight_row"], "weight_rows", axis=1)
    graph.add("MatMul", ["weight_rows", "hidden"], "totals")
    graph.add("ReduceSum", ["weight_rows", graph.ints(-1)], "counts")
    graph.add("Div", ["totals", "counts"], "means")
    return graph.add("Gather", ["means", graph.number(0)], "pooled", axis=1)


def _first(graph: Graph) -> str:
    return graph.add("Gather", ["hidden", graph.number(0)], "pooled", axis=1)


def _span(graph: Graph) -> None:
    _small(graph, "hidden", "both")
    graph.add("Split", ["both"], "start_column", "end_column", axis=2, num_outputs=2)
    for side in ("start", "end"):
        graph.add("Squeeze", [f"{side}_column", graph.ints(-1)], f"{side}_logits")
        graph.output(f"{side}_logits", "batch", "tokens")
