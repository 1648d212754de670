"""Repositories and a cache laid out like the hub's: tiny random transformers models, exported to ONNX."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
)

from kit import export
from tests.text_models import minilm_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.5,  # large, so that random models have opinions
    "attn_implementation": "eager",
}
DISTILBERT_SIZES = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "initializer_range": 0.5,
    "attn_implementation": "eager",
}
HEADS = {
    ("bert", "classify"): BertForSequenceClassification,
    ("bert", "answer"): BertForQuestionAnswering,
    ("distilbert", "classify"): DistilBertForSequenceClassification,
    ("distilbert", "answer"): DistilBertForQuestionAnswering,
    ("roberta", "classify"): RobertaForSequenceClassification,
    ("roberta", "answer"): RobertaForQuestionAnswering,
}
GRAPH, SMALL_GRAPH = "onnx/model.onnx", "onnx/model_quantized.onnx"
# What SamLowe/roberta-base-go_emotions has, but for its 12 layers and its vocabulary of 50,265.
EMOTIONS = "SamLowe/roberta-base-go_emotions-onnx"
ROBERTA_BASE = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.05,
}
COMMIT = "6f2a1e9c0d4b8a7f3e5d1c2b9a8f7e6d5c4b3a21"


def write(folder: Path, kind: str, task: str, graph: str | None = GRAPH, **config: Any) -> Any:
    """Write a model of `kind` (bert, distilbert, roberta) for `task` (classify, answer); return it in torch.

    Without a `graph` it brings its weights alone, as most repositories do.
    """
    tokenizer = byte_tokenizer() if kind == "roberta" else minilm_tokenizer()
    model: Any = HEADS[kind, task](_config(kind, tokenizer.get_vocab_size(), config))
    torch.manual_seed(1)
    for parameter in model.parameters():  # biases too: zeros would hide a lost one
        torch.nn.init.normal_(parameter, std=model.config.initializer_range)
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    if graph is None:
        model.save_pretrained(folder)
        return model
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    (folder / graph).parent.mkdir(parents=True, exist_ok=True)
    export.trace(model, folder / graph)
    return model


def _config(kind: str, words: int, config: dict[str, Any]) -> Any:
    if kind == "distilbert":
        sizes = {"max_position_embeddings": 128, **DISTILBERT_SIZES}
        return DistilBertConfig(vocab_size=words, **sizes | config)
    if kind == "bert":
        return BertConfig(vocab_size=words, max_position_embeddings=128, **SIZES | config)
    # RoBERTa's positions start behind the padding's: 2 more than tokens.
    sizes = {"max_position_embeddings": 130, "type_vocab_size": 1, **SIZES}
    return RobertaConfig(vocab_size=words, **sizes | config)


def write_emotions(folder: Path, labels: list[str]) -> Any:
    """Write what SamLowe/roberta-base-go_emotions-onnx holds: its files and its config, random weights."""
    model = write(
        folder,
        "roberta",
        "classify",
        GRAPH,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        problem_type="multi_label_classification",
        **ROBERTA_BASE,
    )
    export.quantize(folder / GRAPH, folder / SMALL_GRAPH)
    fast_tokenizer(folder).save_pretrained(folder)
    parts = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(parts["vocab"]))
    merges = (" ".join(pair) for pair in parts["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return model


def fast_tokenizer(folder: Path) -> Any:
    """Return transformers' tokenizer of a RoBERTa folder."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )


def into_cache(models_dir: Path, repository: str, files: Path) -> None:
    """Store a repository's files as the hub's client does: blobs by digest, links by commit, a branch."""
    home = models_dir / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    (home / "blobs").mkdir(parents=True)
    for file in sorted(path for path in files.rglob("*") if path.is_file()):
        blob = home / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        link = snapshot / file.relative_to(files)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)


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


def letters(folder: Path) -> Path:
    """Write a vocab.txt of 64 words: letters, a few digits and signs."""
    signs = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"1834?.,"]
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    words = [*signs, *alphabet, *(f"##{letter}" for letter in alphabet)]
    path = folder / "vocab.txt"
    path.write_text("\n".join(words))
    return path
