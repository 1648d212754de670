"""Weights without an ONNX graph get one: `model.safetensors`, `pytorch_model.bin` or `tf_model.h5`.

For sequence classification and question answering, by transformers' own code for the architecture
that config.json names (BERT, DistilBERT, RoBERTa and many more).
"""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from kit import tensorflow_weights

OPSET = 17
SPANS, LABELS = ("start_logits", "end_logits"), ("logits",)
HEADS = ("qa_outputs", "classifier")
WORDS = "word_embeddings"
KEPT = ("config.json", "tokenizer.json", "thresholds.json")


class CannotExport(Exception):
    """The weights are not those of the model that config.json describes."""


def write(source: Path, weights: str, target: Path) -> None:
    """Write a folder like the hub's: graphs in fp32 and INT8, tokenizer, config. Takes minutes.

    Raises CannotExport when a weight is missing or has another shape: none is ever made up.
    """
    model = load(source, weights)
    (target / "onnx").mkdir(parents=True)
    full, small = target / "onnx/model.onnx", target / "onnx/model_quantized.onnx"
    trace(model, full)
    quantize(full, small)
    for name in KEPT:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if not (target / "tokenizer.json").is_file():  # an older repository: vocab.txt alone
        tokenizer = AutoTokenizer.from_pretrained(source)
        tokenizer.backend_tokenizer.save(str(target / "tokenizer.json"))


def load(source: Path, weights: str) -> Any:
    """Return the model in torch, with every one of its weights from the file."""
    described = json.loads((source / "config.json").read_text())["architectures"][0]
    answers = described.endswith("ForQuestionAnswering")
    kind: Any = AutoModelForQuestionAnswering if answers else AutoModelForSequenceClassification
    if weights == "tf_model.h5":
        config = AutoConfig.from_pretrained(source, attn_implementation="eager")
        model, missing = _from_tensorflow(kind.from_config(config), source / weights)
    else:
        model, report = kind.from_pretrained(
            source,
            attn_implementation="eager",  # the other kinds do not trace into one graph for all sizes
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # so that they are reported, not raised
            output_loading_info=True,
        )
        missing = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if missing:
        raise CannotExport(f"it lacks {', '.join(sorted(missing)[:3])} ({len(missing)} in all).")
    return model.eval()


def _from_tensorflow(model: Any, path: Path) -> tuple[Any, set[str]]:
    """Fill a model with a TensorFlow checkpoint; return it and the names that found no weight."""
    try:
        found = tensorflow_weights.read(path)
    except (OSError, ValueError, LookupError) as error:
        raise CannotExport(str(error)) from error
    wanted = {name: tuple(value.shape) for name, value in model.named_parameters()}
    fitting = {
        name: torch.from_numpy(value)
        for name, value in found.items()
        if wanted.get(name) == value.shape
    }
    model.load_state_dict(fitting, strict=False)
    return model, wanted.keys() - fitting.keys()


class _Positional(nn.Module):
    """Gives the exporter plain arguments and plain outputs."""

    def __init__(self, model: Any, inputs: list[str], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        output = self.model(**dict(zip(self.inputs, tensors, strict=True)))
        return tuple(output[name] for name in self.outputs)


def trace(model: Any, path: Path) -> None:
    """Write the graph with a free batch size and length, as the hub's exports have them."""
    # RoBERTa has a table of one type and takes none; DistilBERT has no table.
    has_types = getattr(model.config, "type_vocab_size", 0) > 1
    inputs = ["input_ids", "attention_mask", *["token_type_ids"] * has_types]
    outputs = SPANS if hasattr(model, "qa_outputs") else LABELS
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        # The exporter that follows one example is deprecated; the new one needs onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Positional(model, inputs, outputs).eval(),  # the exporter puts the mode it found back
            tuple(torch.ones((2, 7), dtype=torch.long) for _ in inputs),
            path,
            input_names=inputs,
            output_names=list(outputs),
            dynamic_axes={name: axes for name in inputs}
            | {name: axes if outputs == SPANS else {0: "batch"} for name in outputs},
            opset_version=OPSET,
            dynamo=False,
        )


def quantize(full: Path, small: Path) -> None:
    """Write the INT8 graph: matrices and the table of words; the head, tiny and sensitive, is kept."""
    nodes = onnx.load(full, load_external_data=False).graph.node
    logging.getLogger().addFilter(_no_advice)
    quantize_dynamic(
        full,
        small,
        per_channel=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_exclude=[
            node.name
            for node in nodes
            if any(head in node.name for head in HEADS)
            or (node.op_type == "Gather" and WORDS not in node.name)
        ],
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop the quantiser's advice to optimise first: ONNX Runtime does that when it loads a graph."""
    return "pre-processing before quantization" not in record.getMessage()
