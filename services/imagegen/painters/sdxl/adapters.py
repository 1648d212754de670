"""LoRAs: small files that change a model's style, merged into its weights for a batch."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import structlog
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from services.imagegen.values import Lora

NAME = re.compile(r"\w[\w .()+-]{0,99}")
ADAPTER = "lora"
PARTS = ("unet", "text_encoder", "text_encoder_2")
log = structlog.get_logger(__name__)


def found_in(folder: Path) -> dict[str, Path]:
    """Return a folder's LoRA files by name, which is all that a request can say of them."""
    files = sorted(folder.glob("*.safetensors"))
    good = {file.stem: file for file in files if NAME.fullmatch(file.stem) and _is_readable(file)}
    for file in set(files) - set(good.values()):
        log.warning("lora_left_out", file=file.name)
    return good


def hash_of(file: Path) -> str:
    """Return the hash by which A1111 and its kin know a LoRA: of its tensors, without the header."""
    with file.open("rb") as content:
        header = content.read(int.from_bytes(content.read(8), "little"))
        known = json.loads(header).get("__metadata__", {}).get("sshs_model_hash")
        return (known or hashlib.file_digest(content, "sha256").hexdigest())[:12]


class Adapters:
    """The LoRAs that are merged into a pipeline: none, or those of the present batch.

    Merged weights are as fast as the model's own and leave compiled code valid. What they replace
    waits in main memory and is put back bit by bit, as subtracting would not give the same bits.
    """

    def __init__(self, pipeline: Any, files: Mapping[str, Path]) -> None:
        self._pipe = pipeline
        self._files = files
        self._merged: tuple[Lora, ...] = ()
        self._originals: dict[torch.Tensor, torch.Tensor] = {}

    def use(self, loras: Sequence[Lora]) -> bool:
        """Merge these and no others; return whether that changed anything."""
        if tuple(loras) == self._merged:
            return False
        with torch.inference_mode(False), torch.no_grad():
            self._restore()
            with self._undone_on_error():
                for lora in loras:  # one by one, as peft warns of several
                    self._merge(lora)
        self._merged = tuple(loras)
        return True

    def _merge(self, lora: Lora) -> None:
        pipe = self._pipe
        weights = safetensors.torch.load_file(self._files[lora.name])
        pipe.load_lora_weights(weights, adapter_name=ADAPTER)
        pipe.set_adapters(ADAPTER, lora.weight)
        weights_below = self._weights_below()
        if not weights_below:
            raise ValueError("The LoRA fits no layer of this model.")
        for weight in weights_below:
            if weight not in self._originals:
                self._originals[weight] = weight.detach().to("cpu", copy=True)
        pipe.fuse_lora(components=list(PARTS))
        pipe.unload_lora_weights()

    def _restore(self) -> None:
        for weight, original in self._originals.items():
            weight.copy_(original)
        self._originals = {}
        self._merged = ()

    def _weights_below(self) -> list[torch.Tensor]:
        """Return the model's own weights that the loaded LoRA changes."""
        layers = (layer for part in PARTS for layer in getattr(self._pipe, part).modules())
        return [
            layer.get_parameter("base_layer.weight")
            for layer in layers
            if isinstance(layer, BaseTunerLayer) and isinstance(layer, torch.nn.Module)
        ]

    @contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._pipe.unload_lora_weights()
            self._restore()
            raise


def _is_readable(file: Path) -> bool:
    try:
        with safetensors.safe_open(file, "pt") as content:
            return any("lora" in key for key in content.keys())  # noqa: SIM118 - it is no mapping
    except (OSError, safetensors.SafetensorError):
        return False
