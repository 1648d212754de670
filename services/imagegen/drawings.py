"""A client's wishes and the model's card become a Drawing with nothing left open."""

import math
import re
import secrets
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from kit.errors import Unprocessable
from services.imagegen.schemas import BlendRequest, DrawRequest, Wishes
from services.imagegen.values import SEEDS, Blending, Card, Drawing, Ingredient, Lora

PROMPT_WEIGHT = 1.0
WORD = re.compile(r"[^\W\d_]{2,}")  # of any script; numbers and single letters say little
STRENGTH = 0.75


def from_words(
    request: DrawRequest, card: Card, max_megapixels: float, picture: str | None = None
) -> Drawing:
    """Return the drawing of a prompt; raise Unprocessable for what the model cannot do.

    `picture` is the place of the picture to start from, if there is one.
    """
    if request.init_image and card.blending is not Blending.LATENTS:
        raise Unprocessable("`init_image` is for models that start from pictures.")
    tags = card.quality_tags if request.quality_tags is None else request.quality_tags
    prompt = _with_tags(request.prompt, tags)
    drawing = _drawing(request, prompt, card, max_megapixels)
    if picture is None:
        return drawing
    start = Ingredient(weight=1, picture=picture)
    strength = request.strength or STRENGTH
    return drawing.model_copy(update={"ingredients": (start,), "strength": strength})


def from_sources(
    request: BlendRequest, pictures: Sequence[str], card: Card, max_megapixels: float
) -> Drawing:
    """Return the drawing of a blend; `pictures` are the places of its stored sources, in order.

    The same sources in any order and with weights in the same proportions give the same drawing,
    so long as equal pictures have equal places. Where the model starts from pictures, the words
    steer the denoising, and the more weight they have, the further it leaves the pictures.
    """
    if pictures and card.blending is Blending.WORDS:
        raise Unprocessable("This model blends words only; `sources` must not have pictures.")
    starts = bool(pictures) and card.blending is Blending.LATENTS
    if request.strength is not None and not starts:
        raise Unprocessable("`strength` is for models that start from pictures, and for pictures.")
    parts = _shares(request, pictures)
    texts = [part.text for part in parts if part.text is not None]
    words = math.fsum(part.weight for part in parts if part.text is not None)
    drawing = _drawing(request, "; ".join(texts), card, max_megapixels)
    strength = (request.strength or 0.4 + 0.5 * words) if starts else 1.0
    return drawing.model_copy(update={"ingredients": parts, "strength": strength})


def _shares(request: BlendRequest, pictures: Sequence[str]) -> tuple[Ingredient, ...]:
    """Return each different source once, the heaviest first, with its share of the whole."""
    places = iter(pictures)
    weights: defaultdict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for source in request.sources:
        kind = ("text", source.text) if source.text is not None else ("picture", next(places))
        weights[kind] += _exact(source.weight)
    if request.prompt is not None:
        weights["text", request.prompt] += _exact(PROMPT_WEIGHT)
    whole = sum(weights.values())
    heaviest_first = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        Ingredient(weight=float(weight / whole), **{kind: content})
        for (kind, content), weight in heaviest_first
    )


def _exact(weight: float) -> Fraction:
    """Return the decimal number that the client wrote: 0.1 and 0.2 are in proportion 1 to 2."""
    return Fraction(str(weight))


def warnings(drawing: Drawing, card: Card) -> tuple[str, ...]:
    """Return what a person should know before waiting."""
    return tuple(filter(None, (_of_words(drawing, card), _of_size(drawing, card))))


def _of_words(drawing: Drawing, card: Card) -> str:
    """Say that the model may not know these words."""
    words = set(WORD.findall(drawing.prompt.lower()))
    known = words & set(card.vocabulary)
    names_something = not card.subjects or words & set(card.subjects)
    if not card.vocabulary or not drawing.prompt:
        return ""
    if known and not names_something:  # "please draw a dragon" is half known
        return f"This model can paint nothing that this prompt names. {card.note}".rstrip()
    if known and 2 * len(known) >= len(words):
        return ""
    count = "none" if not known else f"{len(known)} of {len(words)}"
    return f"This model knows {count} of the words in this prompt. {card.note}".rstrip()


def _of_size(drawing: Drawing, card: Card) -> str:
    if not card.sizes or f"{drawing.width}x{drawing.height}" in card.sizes:
        return ""
    return f"This model paints best at {', '.join(card.sizes)}."


def _drawing(wishes: Wishes, prompt: str, card: Card, max_megapixels: float) -> Drawing:
    width, height = wishes.width or card.width, wishes.height or card.height
    if width * height > max_megapixels * 1e6:
        raise Unprocessable(
            f"{width}x{height} is larger than the limit of {max_megapixels:g} megapixels."
        )
    if width % card.side_multiple or height % card.side_multiple:
        raise Unprocessable(
            f"`width` and `height` must be multiples of {card.side_multiple} for this model."
        )
    if wishes.scheduler and wishes.scheduler not in card.samplers:
        known = f"can be {', '.join(card.samplers)}" if card.samplers else "must be left out"
        raise Unprocessable(f"`scheduler` {known} for this model.")
    unknown = {lora.name for lora in wishes.loras} - card.loras.keys()
    if unknown:
        raise Unprocessable(f"There is no LoRA called {', '.join(sorted(unknown))}.")
    given = wishes.negative_prompt
    return Drawing(
        prompt=prompt,
        negative_prompt=card.negative_prompt if given is None else given.strip(),
        width=width,
        height=height,
        steps=wishes.steps or card.steps,
        guidance=card.guidance if wishes.guidance is None else wishes.guidance,
        seed=secrets.randbelow(SEEDS) if wishes.seed is None else wishes.seed,
        count=wishes.count,
        scheduler=wishes.scheduler or card.scheduler,
        loras=_in_order(wishes.loras),
    )


def _with_tags(prompt: str, tags: str) -> str:
    """Append the tags that the prompt lacks."""
    present = {tag.strip().lower() for tag in prompt.split(",")}
    missing = [tag.strip() for tag in tags.split(",") if tag.strip().lower() not in present]
    return ", ".join([prompt, *filter(None, missing)])


def _in_order(loras: Sequence[Lora]) -> tuple[Lora, ...]:
    """Return each LoRA once, with the sum of its weights, in an order that is always the same."""
    weights: dict[str, float] = {}
    for lora in loras:
        weights[lora.name] = weights.get(lora.name, 0.0) + lora.weight
    return tuple(Lora(name=name, weight=weights[name]) for name in sorted(weights))
