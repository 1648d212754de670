"""The model card's own way: transformers' pipeline behind plain FastAPI, in torch and fp32."""

import os
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import (
    AutoConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    pipeline,
)
from transformers.modeling_outputs import SequenceClassifierOutput

MAX_TOKENS = 512


class MeanPooled(BertForSequenceClassification):
    """BERT whose head sees the mean of all tokens instead of the first one's pooled state."""

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None
    ) -> SequenceClassifierOutput:
        """Return the logits."""
        states = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        return SequenceClassifierOutput(
            logits=self.classifier((states * mask).sum(1) / mask.sum(1))
        )


torch.set_num_threads(1)
folder = Path(os.environ["MODEL_DIR"]) / "torch"
is_mean = AutoConfig.from_pretrained(folder).pooling == "mean"
kind: Any = MeanPooled if is_mean else BertForSequenceClassification
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=str(folder / "tokenizer.json"),
    pad_token="[PAD]",  # noqa: S106 - a token of text
    model_max_length=MAX_TOKENS,
)
classify = pipeline(
    "text-classification",
    model=kind.from_pretrained(folder).eval(),
    tokenizer=tokenizer,
    function_to_apply="sigmoid",
    top_k=None,
    truncation=True,
)
app = FastAPI()


class Text(BaseModel):
    """One text."""

    text: str


@app.post("/predict")
def predict(body: Text) -> Any:
    """Score one text."""
    return classify([body.text])[0]


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
