"""Models for many machines: fetched once into a shared folder, and awaited there.

`python -m kit.fetch` has every embedded model and every one that a setting names prepared in
`MODELS_DIR`, compares what came from the hub with the sha256 that the hub states, and marks each as
whole. `python -m kit.fetch --wait qa` returns as soon as all that the service needs is there, and
reaches for no network; half a download does not count.
"""

import os
import re
import sys
import time
from pathlib import Path
from urllib.parse import quote

from kit.models import ModelUnavailable, chosen, resolve, sha256

SHA256 = re.compile(r"[0-9a-f]{64}")  # the hub's client names large files so
LOOK_SECONDS = 5.0


def fetch(reference: str, models_dir: Path) -> str:
    """Prepare a model, check it, mark it as whole; return its revision. Raises ModelUnavailable."""
    revision = resolve(reference, models_dir).revision
    check(reference, models_dir)
    mark = _mark(reference, models_dir)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(revision)
    return revision


def check(reference: str, models_dir: Path) -> None:
    """Compare a downloaded model's large files with their sha256; delete one that differs."""
    kind, _, name = reference.partition(":")
    if kind != "hub":
        return  # embedded models are verified whenever they are resolved
    repository = name.partition("@")[0].replace("/", "--")
    for blob in (models_dir / "hub" / f"models--{repository}" / "blobs").iterdir():
        if SHA256.fullmatch(blob.name) and sha256(blob) != blob.name:
            blob.unlink()
            raise ModelUnavailable(f"{blob} was damaged and is deleted: fetch {reference} again.")


def missing(reference: str, models_dir: Path) -> str:
    """Return why a model cannot be used yet; nothing when it can."""
    if reference.startswith("hub:"):
        return "" if _mark(reference, models_dir).is_file() else f"{reference} is not fetched yet"
    try:
        resolve(reference, models_dir)
    except ModelUnavailable as error:
        return str(error)
    return ""


def wait(service: str, models_dir: Path) -> None:
    """Return when all models of a service are there."""
    said = ""
    references = chosen(["--service", service])
    while why := next((why for each in references if (why := missing(each, models_dir))), ""):
        if why != said:
            sys.stdout.write(f"waiting: {why}\n")
            sys.stdout.flush()
        said = why
        time.sleep(LOOK_SECONDS)


def _mark(reference: str, models_dir: Path) -> Path:
    return models_dir / "whole" / quote(reference, safe="")


def main(arguments: list[str]) -> int:
    """Fetch everything, or wait for what one service needs."""
    models_dir = Path(os.environ.get("MODELS_DIR", ".models"))
    if arguments[:1] == ["--wait"]:
        wait(arguments[1], models_dir)
        return 0
    for reference in chosen(arguments):
        try:
            revision = fetch(reference, models_dir)
        except (ModelUnavailable, OSError) as error:
            sys.stdout.write(f"{reference} failed: {error}\n")
            return 1
        sys.stdout.write(f"{reference} {revision}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
