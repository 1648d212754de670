"""List a model's committed files in models/models.toml: `python -m training.register NAME ...`.

Run it after a recipe has written new weights; services refuse files that are not the listed ones.
"""

import re
import sys

from kit.models import SOURCES, catalogue, sha256

SERVED = {".safetensors", ".json", ".txt"}
NOT_SERVED = {"report.json"}


def register(name: str, text: str) -> str:
    """Return models.toml's text with the table of one model's files written anew."""
    folder = SOURCES / name
    files = sorted(
        file.relative_to(folder)
        for file in folder.rglob("*")
        if file.suffix in SERVED and file.name not in NOT_SERVED
    )
    table = f"[embedded.{name}.files]\n" + "".join(
        f'"{file}" = "{sha256(folder / file)}"\n' for file in files
    )
    old = re.compile(rf"\[embedded\.{re.escape(name)}\.files\]\n(?:\"[^\n]*\n)*")
    return old.sub(lambda _: table, text)


def main(names: list[str]) -> None:
    """Register the named models, or all whose weights are committed here."""
    target = SOURCES / "models.toml"
    text = target.read_text()
    for name in names or [n for n, entry in catalogue().items() if "package" not in entry]:
        text = register(name, text)
    target.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
