"""A client's wishes and the model's card become a Drawing with nothing left open."""

import re
import secrets
from collections.abc import Sequence

from kit.errors import Unprocessable
from services.imagegen.schemas import (
    SEEDS,
    BlendRequest,
    Card,
    Drawing,
    DrawRequest,
    Ingredient,
    Wishes,
)

PROMPT_WEIGHT = 1.0
WORD = re.compile(r"[^\W\d_]{2,}")  # of any script; numbers and single letters say little


def from_words(request: DrawRequest, card: Card, max_megapixels: float) -> Drawing:
    """Return the drawing of a prompt; raise Unprocessable for too large a picture."""
    return _drawing(request, request.prompt, card, max_megapixels)


def from_sources(
    request: BlendRequest, pictures: Sequence[str], card: Card, max_megapixels: float
) -> Drawing:
    """Return the drawing of a blend; `pictures` are the places of its stored sources, in order.

    Words steer the denoising, pictures are where it starts; the more weight the words have, the
    further it leaves the pictures.
    """
    places = iter(pictures)
    parts = [
        Ingredient(weight=source.weight, text=source.text)
        if source.text is not None
        else Ingredient(weight=source.weight, picture=next(places))
        for source in request.sources
    ]
    if request.prompt is not None:
        parts.append(Ingredient(weight=PROMPT_WEIGHT, text=request.prompt))
    words = sum(part.weight for part in parts if part.text is not None)
    share = words / sum(part.weight for part in parts)
    strength = request.strength or (0.4 + 0.5 * share if pictures else 1.0)
    prompt = "; ".join(part.text for part in parts if part.text is not None)
    drawing = _drawing(request, prompt, card, max_megapixels)
    return drawing.model_copy(
        update={"ingredients": tuple(parts), "strength": strength if pictures else 1.0}
    )


def warnings(drawing: Drawing, card: Card) -> tuple[str, ...]:
    """Return what a person should know before waiting: the model may not know their words."""
    words = set(WORD.findall(drawing.prompt.lower()))
    if not card.vocabulary or not drawing.prompt:
        return ()
    known = words & set(card.vocabulary)
    if known and 2 * len(known) >= len(words):
        return ()
    count = "none" if not known else f"{len(known)} of {len(words)}"
    return (f"This model knows {count} of the words in this prompt. {card.note}".rstrip(),)


def _drawing(wishes: Wishes, prompt: str, card: Card, max_megapixels: float) -> Drawing:
    width, height = wishes.width or card.width, wishes.height or card.height
    if width * height > max_megapixels * 1e6:
        raise Unprocessable(
            f"{width}x{height} is larger than the limit of {max_megapixels:g} megapixels."
        )
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
        scheduler=wishes.scheduler,
    )
