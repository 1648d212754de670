"""Models that we know by name: what their makers' cards recommend, for what `defaults.json` leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Fields of a model's Card, and the VAE to load with it instead of its own."""

    card: Mapping[str, Any] = field(default_factory=dict)
    vae: str | None = None


USUAL = Preset({"steps": 28, "guidance": 7.0})
# The card and the announcement of https://huggingface.co/cagliostrolab/animagine-xl-3.0
ANIMAGINE = Preset(
    {
        "width": 832,
        "height": 1216,
        "steps": 28,
        "guidance": 7.0,
        "scheduler": "euler_ancestral",
        "negative_prompt": "nsfw, lowres, bad anatomy, bad hands, text, error, missing fingers, "
        "extra digit, fewer digits, cropped, worst quality, low quality, normal quality, "
        "jpeg artifacts, signature, watermark, username, blurry, artist name",
        "quality_tags": "masterpiece, best quality",
        "template": "1girl/1boy, character, series, everything else",
        "sizes": (
            "1024x1024",
            "1152x896",
            "896x1152",
            "1216x832",
            "832x1216",
            "1344x768",
            "768x1344",
            "1536x640",
            "640x1536",
        ),
    },
    vae="hub:madebyollin/sdxl-vae-fp16-fix",
)
BY_NAME = {"animagine-xl-3.0": ANIMAGINE}


def preset(name: str) -> Preset:
    """Return what is known about a model; the last part of its name decides, whoever publishes it."""
    return BY_NAME.get(name.rpartition("/")[2].lower(), USUAL)
