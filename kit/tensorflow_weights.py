"""The weights of a TensorFlow checkpoint of transformers (`tf_model.h5`) under PyTorch's names.

Keras stores a group per layer; the attribute `weight_names` lists its variables, such as
`tf_distil_bert_for_question_answering/distilbert/transformer/layer_._0/ffn/lin1/kernel:0`. The first
part names the model; `_._` stands before the number of a layer in a list; kernels lie transposed.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

PYTORCH = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return every weight by its PyTorch name; raise ValueError for a file of another layout."""
    found: dict[str, NDArray[np.float32]] = {}
    with h5py.File(path) as file:
        for layer in _names(file, "layer_names"):
            for variable in _names(file[layer], "weight_names"):
                name, is_transposed = pytorch_name(variable)
                value = np.asarray(file[layer][variable], dtype=np.float32)
                found[name] = np.ascontiguousarray(value.T) if is_transposed else value
    if not found:
        raise ValueError("it holds no weights in the layout of transformers' TensorFlow models.")
    return found


def pytorch_name(variable: str) -> tuple[str, bool]:
    """Return a variable's name in PyTorch, and whether its matrix is the transpose of that one."""
    parts = variable.partition(":")[0].replace("_._", "/").split("/")[1:]
    last = parts[-1] if parts else ""
    return ".".join([*parts[:-1], PYTORCH.get(last, last)]), last == "kernel"


def _names(group: h5py.Group, attribute: str) -> Iterator[str]:
    """Yield a list of names; Keras splits one of more than 64 KB into `NAME0`, `NAME1` and so on."""
    if attribute in group.attrs:
        yield from map(_text, group.attrs[attribute])
        return
    for number in count():
        if f"{attribute}{number}" not in group.attrs:
            return
        yield from map(_text, group.attrs[f"{attribute}{number}"])


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
