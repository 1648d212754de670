"""What becomes of the pictures that clients send."""

import io

from PIL import Image

from services.imagegen import pictures


def sent(picture: Image.Image, form: str, **more: object) -> Image.Image:
    """Return the picture as a blend starts from it."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **more)
    return pictures.decode(pictures.normalise(buffer.getvalue()))


def test_a_photo_is_turned_as_its_camera_was_held():
    orientation = Image.Exif()
    orientation[0x0112] = 6  # a quarter turn
    assert sent(Image.new("RGB", (40, 20)), "JPEG", exif=orientation).size == (20, 40)


def test_a_picture_of_16_bits_keeps_its_brightness():
    assert sent(Image.new("I;16", (4, 4), 0x8000), "PNG").getpixel((0, 0)) == (128, 128, 128)


def test_a_large_picture_is_reduced():
    assert sent(Image.new("L", (4000, 1000)), "WEBP").size == (2048, 512)
