"""Folders laid out like the hub's: tiny random transformers models, exported to ONNX."""

import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
)

from tests.text_models import minilm_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.5,  # large, so that random models have opinions
    "attn_implementation": "eager",
}
HEADS = {
    ("bert", "classify"): BertForSequenceClassification,
    ("bert", "answer"): BertForQuestionAnswering,
    ("roberta", "classify"): RobertaForSequenceClassification,
    ("roberta", "answer"): RobertaForQuestionAnswering,
}


def write(folder: Path, kind: str, task: str, graph: str = "onnx/model.onnx", **config: Any) -> Any:
    """Write a model of `kind` (bert, roberta) for `task` (classify, answer); return it in torch."""
    torch.manual_seed(1)
    tokenizer = minilm_tokenizer() if kind == "bert" else byte_tokenizer()
    shared = {**SIZES, "vocab_size": tokenizer.get_vocab_size(), **config}
    # RoBERTa's positions start behind the padding's: 2 more than tokens.
    described = (
        BertConfig(max_position_embeddings=128, **shared)
        if kind == "bert"
        else RobertaConfig(max_position_embeddings=130, type_vocab_size=1, **shared)
    )
    model: Any = HEADS[kind, task](described).eval()
    (folder / graph).parent.mkdir(parents=True, exist_ok=True)
    described.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    export(model, folder / graph, takes_types=kind == "bert")
    return model


def byte_tokenizer() -> Tokenizer:
    """Return a small byte-level BPE tokenizer with RoBERTa's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["the cat sat on the mat and wrote a letter in 1843"] * 9, trainer
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


class _Positional(nn.Module):
    """Gives the exporter plain arguments and plain outputs."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        output: Any = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(output.values())


def export(model: nn.Module, path: Path, *, takes_types: bool) -> None:
    """Write the graph with a free batch size and length, as the hub's exports have them."""
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * takes_types
    spans = "QuestionAnswering" in type(model).__name__
    outputs = ["start_logits", "end_logits"] if spans else ["logits"]
    example = tuple(torch.ones((2, 7), dtype=torch.long) for _ in names)
    axes = {0: "batch", 1: "tokens"}
    with warnings.catch_warnings():
        # The exporter with a fixed trace is deprecated; the new one needs onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Positional(model, names).eval(),  # the exporter puts the mode it found back
            example,
            path,
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: axes for name in [*names, *(outputs if spans else [])]}
            | ({} if spans else {"logits": {0: "batch"}}),
            dynamo=False,
        )
