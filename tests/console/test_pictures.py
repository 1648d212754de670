"""Attached files are told apart by what they are, not by their names."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from services.console import pictures
from services.console.panels.session import MOST_PICTURES, Shown, recalled
from tests.console.support import PICTURE, png


def test_pictures_and_texts_are_told_apart(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(png())
    (tmp_path / "b.png").write_text("\ufeffhéllo", encoding="utf-8")
    found, text = pictures.sorted_files([str(tmp_path / "a.txt"), str(tmp_path / "b.png")])
    assert [base64.b64decode(one) for one in found] == [png()]
    assert text == "héllo"


def test_what_is_neither_is_refused_by_name(tmp_path: Path):
    (tmp_path / "song.mp3").write_bytes(b"\xff\xfb\x90")
    with pytest.raises(pictures.Unusable, match=r"song\.mp3"):
        pictures.sorted_files([str(tmp_path / "song.mp3")])


def test_a_thumbnail_is_small_and_needs_no_request():
    out = io.BytesIO()
    Image.new("RGB", (2048, 1024), "red").save(out, "PNG")
    small = pictures.thumbnail(out.getvalue())
    head, _, data = small.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (pictures.THUMBNAIL_SIDE, pictures.THUMBNAIL_SIDE // 2)


def test_a_kept_picture_is_the_painted_file(tmp_path: Path):
    assert Path(pictures.kept(png(), "seed-7", str(tmp_path))).read_bytes() == png()


def test_the_gallery_is_bounded_and_newest_first():
    shown = Shown()
    for number in range(MOST_PICTURES + 3):
        shown = shown.below(Shown({}, [(f"{number}.png", "")]))
    assert shown.items[0][0] == f"{MOST_PICTURES + 2}.png"
    assert len(shown.items) == MOST_PICTURES


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "//elsewhere.example/v1/images/a/pictures/0",
        "/v1/images/../../metrics",
        "/v1/images/a/pictures/0?x=1",
    ],
)
def test_no_foreign_address_is_smuggled_in_through_the_browser(url: str):
    kept = [{"id": "t", "text": "wish", "pictures": [PICTURE | {"url": url}]}]
    assert recalled(kept) == []


@pytest.mark.parametrize("kept", [None, "x", [1, None, {}], {"a": 1}])
def test_what_cannot_be_read_of_the_browsers_memory_is_dropped(kept: object):
    assert recalled(kept) == []
