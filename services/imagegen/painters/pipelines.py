"""Pipelines of diffusers from local files, on the device where they shall run."""

import json
from typing import Any

import diffusers
import torch
import transformers

from kit.models import LocalModel, ModelUnavailable

INDEX = "model_index.json"


def kind_of(model: LocalModel) -> str:
    """Return the name of the pipeline class that the files are for."""
    try:
        return str(json.loads(model.file(INDEX).read_text())["_class_name"])
    except (ValueError, LookupError, TypeError) as error:
        raise ModelUnavailable(f"{model.path / INDEX} names no pipeline.") from error


def device_for(wish: str) -> str:
    """Return `cuda` or `cpu`; `auto` takes a GPU if there is one."""
    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wish


def backend_on(device: str) -> str:
    """Return what a picture's bytes depend on beside the model's files."""
    return f"diffusers-{diffusers.__version__}-torch-{torch.__version__}-{device}"


def from_files(
    kind: str, model: LocalModel, device: str, *, dtype: torch.dtype | None = None, **parts: Any
) -> Any:
    """Load a pipeline, by default in half precision on a GPU; blocking. Raises ModelUnavailable."""
    for library in (diffusers.utils.logging, transformers.logging):  # before the class's import
        library.set_verbosity_error()
        library.disable_progress_bar()
    usual = torch.float16 if device == "cuda" else torch.float32
    pipeline = part(kind, model, dtype=dtype or usual, **parts)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def part(kind: str, model: LocalModel, **options: Any) -> Any:
    """Load one of diffusers' classes into main memory; blocking. Raises ModelUnavailable."""
    try:
        return getattr(diffusers, kind).from_pretrained(model.path, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{model.path} holds no {kind}: {error}") from error
