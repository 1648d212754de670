"""What a PNG says of its making: for picture tools, and as the request that makes it again."""

import json
from collections.abc import Mapping
from typing import Any

from services.imagegen.values import Card, Drawing, Scheduler

SAMPLERS: Mapping[Scheduler, str] = {
    Scheduler.EULER_ANCESTRAL: "Euler a",
    Scheduler.EULER: "Euler",
    Scheduler.DPMPP_2M: "DPM++ 2M",
    Scheduler.DPMPP_2M_KARRAS: "DPM++ 2M Karras",
    Scheduler.DPMPP_2M_SDE: "DPM++ 2M SDE",
    Scheduler.DPMPP_2M_SDE_KARRAS: "DPM++ 2M SDE Karras",
    Scheduler.DDIM: "DDIM",
}


def for_tools(drawing: Drawing, seed: int, card: Card) -> str:
    """Return the text that A1111 writes and its readers know; the last line holds the settings."""
    settings: dict[str, Any] = {
        "Steps": drawing.steps,
        "Sampler": SAMPLERS[drawing.scheduler] if drawing.scheduler else "model default",
        "CFG scale": f"{drawing.guidance:g}",
        "Seed": seed,
        "Size": f"{drawing.width}x{drawing.height}",
        "Model hash": card.revision,
        "Model": card.model,
        "VAE": card.vae,
        "Denoising strength": f"{drawing.strength:g}" if drawing.starts_from_pictures else "",
        "Lora hashes": ", ".join(f"{lora.name}: {card.loras[lora.name]}" for lora in drawing.loras),
        "Version": "switchboard",
    }
    loras = "".join(f" <lora:{lora.name}:{lora.weight:g}>" for lora in drawing.loras)
    lines = [drawing.prompt + loras]
    if drawing.negative_prompt:
        lines.append(f"Negative prompt: {drawing.negative_prompt}")
    given = (f"{name}: {_quoted(value)}" for name, value in settings.items() if value != "")
    return "\n".join([*lines, ", ".join(given)])


def to_repeat(drawing: Drawing, seed: int) -> dict[str, Any]:
    """Return path and body of the request that makes this one picture again.

    The pictures it started from are not in it: who repeats it fills them in, or is told to.
    """
    options = drawing.model_dump(
        mode="json", exclude={"prompt", "seed", "count", "ingredients", "strength"}
    )
    options |= {"seed": seed}
    if drawing.starts_from_pictures:
        options |= {"strength": drawing.strength}
    if drawing.is_blend:
        parts = [part.model_dump(exclude_none=True) for part in drawing.ingredients]
        sources = [{name: it for name, it in part.items() if name != "picture"} for part in parts]
        return {"path": "/v1/blends", "body": {"sources": sources, **options}}
    # Its tags are in the prompt already.
    return {"path": "/v1/images", "body": {"prompt": drawing.prompt, "quality_tags": "", **options}}


def _quoted(value: Any) -> str:
    """Quote what would look like several settings, as A1111 does it."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",:\n") else text
