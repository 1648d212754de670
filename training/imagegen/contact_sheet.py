"""Paint fixed prompts to look at: python -m training.imagegen.contact_sheet --model DIR.

Writes DIR/contact-sheet.png, one row per prompt with two seeds, nothing picked by hand.
"""

import argparse
import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from training.imagegen.painting import Pictures, load, paint

PROMPTS = (
    *("draw a red circle above a blue square", "a yellow star on a blue background"),
    *("four green hearts", "a small purple cross", "an orange rectangle on the left"),
    *("a house on the grass", "a blue house in the snow", "draw me a boat at night, please, 4k"),
    *("a sailboat on the sea", "a cat", "a pink robot", "the sun in the sky", "a red car"),
    *("a mountain in winter", "a cat and a house", "a dragon"),
    *("dibuja un triángulo verde", "una estrella roja debajo de un círculo azul"),
    *("tres rombos morados sobre fondo amarillo", "un gato negro en el sofá", "una flor roja"),
    *("la luna en el cielo nocturno", "un barquito amarillo en el mar de noche"),
    *("un árbol en la nieve", "dibújame una casita, por favor", "una cara feliz", "un pez azul"),
    *("un coche verde en el campo", "montañas", "un robot junto a un árbol", "dos gatos grises"),
    "un castillo",
    *("нарисуй жёлтую звезду на синем фоне", "красный круг слева от зелёного квадрата"),
    *("четыре розовых сердца", "белый ромб на чёрном фоне", "нарисуй домик на траве"),
    *("кот ночью", "кораблик на море", "солнышко", "луна", "красная машина на снегу"),
    *("серый робот", "нарисуй цветочек, пожалуйста", "смайлик", "дерево на лугу"),
    *("рыбка в море и звезда", "собака"),
)
COLUMNS, SEEDS = 3, (1, 2)
TEXT_WIDTH, LINE, SHOWN = 290, 11, 96
FONT = "DejaVuSans.ttf"  # Pillow's own font has no Cyrillic


def sheet(pictures: Pictures, prompts: tuple[str, ...]) -> Image.Image:
    """Lay out the pictures, enlarged as the service does it, beside their prompts."""
    rows = -(-len(prompts) // COLUMNS)
    width = TEXT_WIDTH + len(SEEDS) * (SHOWN + 4) + 8
    canvas = Image.new("RGB", (COLUMNS * width, rows * (SHOWN + 4)), (225, 225, 225))
    pen, font = ImageDraw.Draw(canvas), ImageFont.truetype(FONT, LINE)
    for place, prompt in enumerate(prompts):
        x, y = place // rows * width, place % rows * (SHOWN + 4) + 2
        pen.text((x + 6, y + SHOWN // 2 - LINE), prompt, fill=(0, 0, 0), font=font)
        for seed in range(len(SEEDS)):
            picture = Image.fromarray(pictures[len(SEEDS) * place + seed])
            shown = picture.resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
            canvas.paste(shown, (x + TEXT_WIDTH + seed * (SHOWN + 4), y))
    return canvas


def main(arguments: list[str] | None = None) -> None:
    """Paint and save the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args(arguments)
    defaults = json.loads((args.model / "defaults.json").read_text())
    prompts = [prompt for prompt in PROMPTS for _ in SEEDS]
    pictures = paint(load(args.model), prompts, list(SEEDS) * len(PROMPTS), defaults)
    sheet(pictures, PROMPTS).save(args.model / "contact-sheet.png", optimize=True)


if __name__ == "__main__":
    main()
