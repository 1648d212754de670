"""The models that all servers load: MiniLM with our emotions, and one of roberta-base's size with random weights.

A folder holds the ONNX graphs as the hub has them, and in `torch/` the same weights for transformers.
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from kit import minilm
from kit.models import SOURCES, resolve
from training.minilm import base_dir


def emotions(folder: Path) -> Path:
    """Write the embedded model; its torch form pools by the mean, which pipeline.py knows."""
    source = resolve("embedded:emotions", Path(".models")).path
    shutil.copytree(source, folder, dirs_exist_ok=True)
    described = json.loads((SOURCES / "emotions/adapter.json").read_text())
    weights = minilm.merged(base_dir(), SOURCES / "emotions", described)
    tensors = {
        name.replace("head.", "classifier.")
        if name.startswith("head.")
        else f"bert.{name}": torch.from_numpy(value.copy())
        for name, value in weights.items()
        if not name.startswith("pooler.")
    }
    _write_torch(folder, tensors, pooling="mean")
    return folder


def base_size(folder: Path) -> Path:
    """Write 12 layers of width 768 with random weights: what roberta-base computes per token."""
    source = resolve("embedded:emotions", Path(".models")).path
    config = json.loads((source / "config.json").read_text())
    shape = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    }
    torch.manual_seed(0)
    described = BertConfig(**{**config, **shape}, attn_implementation="eager")
    model: Any = BertForSequenceClassification(described).eval()
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({**config, **shape}))
    _write_torch(folder, {k: v.contiguous() for k, v in model.state_dict().items()}, pooling="cls")
    full = folder / "onnx/model.onnx"
    _export(model, full)
    quantize_dynamic(
        full,
        folder / "onnx/model_quantized.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    full.unlink()  # 440 MB that nobody serves
    return folder


def _write_torch(folder: Path, tensors: dict[str, Tensor], pooling: str) -> None:
    target = folder / "torch"
    target.mkdir(parents=True, exist_ok=True)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "pooling": pooling}))
    shutil.copyfile(folder / "tokenizer.json", target / "tokenizer.json")


class _Positional(nn.Module):
    """Gives the exporter plain arguments and a plain output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        output: Any = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types)
        logits: Tensor = output.logits
        return logits


def _export(model: nn.Module, path: Path) -> None:
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new exporter needs onnxscript
        torch.onnx.export(
            _Positional(model).eval(),
            tuple(torch.ones((2, 7), dtype=torch.long) for _ in names),
            path,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: axes for name in names} | {"logits": {0: "batch"}},
            dynamo=False,
        )
