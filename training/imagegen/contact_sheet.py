"""Paint fixed prompts to look at: python -m training.imagegen.contact_sheet --model DIR.

Writes DIR/contact-sheet.png, one row per prompt with two seeds, nothing picked by hand.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from training.imagegen.evaluate import Pictures, load, paint
from training.imagegen.shapes import SIDE

PROMPTS = (
    *("draw a red circle", "draw a red circle above a blue square", "two green hearts"),
    *("please draw a yellow star on a blue background", "a black diamond on the left"),
    *("three orange triangles", "a picture of a red house, high quality, 4k"),
    *("paint a big purple heart on pink", "a yellow face on a black background"),
    *("a blue circle and a red square", "circle", "a fluffy cat"),
    *("dibuja un triángulo verde", "dibuja una estrella roja debajo de un círculo azul"),
    *("una imagen de un corazón rosa, por favor", "tres cuadrados negros", "pinta una flor roja"),
    *("un círculo amarillo a la izquierda de un rombo morado", "dibújame un árbol"),
    *("una casa azul sobre fondo amarillo", "estrella blanca sobre fondo negro"),
    *("un cuadrado gris arriba", "dos estrellas naranjas", "un perro"),
    *("нарисуй красную звезду на синем фоне", "красная звезда", "нарисуй зелёный треугольник"),
    *("нарисуй синий круг над жёлтым квадратом", "картинка с розовым сердцем"),
    *("пожалуйста, нарисуй чёрный ромб справа", "три фиолетовых круга", "нарисуй домик"),
    *("белое сердце на красном фоне", "нарисуй оранжевый цветок", "две красные звезды"),
    "жёлтый смайлик",
)
COLUMNS, SEEDS = 3, (1, 2)
TEXT_WIDTH, LINE = 330, 11
FONT = "DejaVuSans.ttf"  # Pillow's own font has no Cyrillic


def sheet(pictures: Pictures, prompts: tuple[str, ...]) -> Image.Image:
    """Lay out the pictures beside their prompts."""
    rows = -(-len(prompts) // COLUMNS)
    width = TEXT_WIDTH + len(SEEDS) * SIDE + 12
    canvas = Image.new("RGB", (COLUMNS * width, rows * (SIDE + 4)), (225, 225, 225))
    pen, font = ImageDraw.Draw(canvas), ImageFont.truetype(FONT, LINE)
    for place, prompt in enumerate(prompts):
        x, y = place // rows * width, place % rows * (SIDE + 4) + 2
        pen.text((x + 6, y + SIDE // 2 - LINE), prompt, fill=(0, 0, 0), font=font)
        for seed in range(len(SEEDS)):
            picture = Image.fromarray(pictures[len(SEEDS) * place + seed])
            canvas.paste(picture, (x + TEXT_WIDTH + seed * (SIDE + 4), y))
    return canvas


def main(arguments: list[str] | None = None) -> None:
    """Paint and save the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    defaults = json.loads((args.model / "defaults.json").read_text())
    prompts = [prompt for prompt in PROMPTS for _ in SEEDS]
    pictures = paint(load(args.model), prompts, list(SEEDS) * len(PROMPTS), defaults)
    sheet(pictures, PROMPTS).quantize(128).save(args.model / "contact-sheet.png", optimize=True)


if __name__ == "__main__":
    main()
