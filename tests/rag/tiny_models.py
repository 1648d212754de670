"""Random models of the real architectures, small enough to be made by a test."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "refunds",
    "take",
    "five",
    "working",
    "days",
    "shipping",
    "is",
    "not",
    "refunded",
    "how",
    "long",
    "do",
    "the",
    "a",
    "[1]",
    ".",
    "?",
]


def _tokenizer(*, pairs: bool) -> PreTrainedTokenizerFast:
    known = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    known.pre_tokenizer = Whitespace()
    if pairs:
        known.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=known,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        bos_token="[CLS]",
        model_input_names=["input_ids", "attention_mask", *(["token_type_ids"] if pairs else [])],
    )


def cross_encoder(folder: Path) -> Path:
    """Write a random cross-encoder as sentence-transformers publishes them: one logit."""
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        num_labels=1,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    _tokenizer(pairs=True).save_pretrained(folder)
    return folder


def language_model(folder: Path) -> Path:
    """Write a random Llama with a chat template."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=4096,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer = _tokenizer(pairs=False)
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} {% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    return folder
