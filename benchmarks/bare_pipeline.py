"""The embedded SDXL called directly through diffusers, as a yardstick for what serves it."""

import json
import time
from pathlib import Path
from typing import Any

import diffusers
import torch

PROMPT = "a red circle above a blue square"


class BarePipeline:
    """StableDiffusionXLPipeline on one thread, the worker's number of threads, with the model's defaults."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        diffusers.utils.logging.set_verbosity_error()
        load: Any = diffusers.StableDiffusionXLPipeline.from_pretrained
        self._pipe = load(folder, dtype=torch.float32)
        self._pipe.set_progress_bar_config(disable=True)
        self._defaults = json.loads((folder / "defaults.json").read_text(encoding="utf-8"))

    def rate(self, batch: int, pictures: int) -> float:
        """Return pictures per second, `batch` of them in a call."""
        started = time.perf_counter()
        for first in range(0, pictures, batch):
            self._call([first + n for n in range(batch)])
        return pictures / (time.perf_counter() - started)

    def _call(self, seeds: list[int]) -> None:
        self._pipe(
            prompt=[PROMPT] * len(seeds),
            height=self._defaults["height"],
            width=self._defaults["width"],
            num_inference_steps=self._defaults["steps"],
            guidance_scale=self._defaults["guidance"],
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        )
