"""Each form a trained model is served in, behind the same call, so that one evaluation measures all."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import torch
from torch import Tensor

from kit import minilm
from training.minilm import MiniLM, base_dir

# (ids, types, mask) of shape (rows, tokens) to logits.
Scorer = Callable[[Tensor, Tensor, Tensor], Tensor]
GRAPHS = {"onnx-fp32": "onnx/model.onnx", "onnx-int8": "onnx/model_quantized.onnx"}
VARIANTS = ("torch-fp32", *GRAPHS)


def open_model(folder: Path, variant: str, head_size: int, pooling: str | None) -> Scorer:
    """Load the adapter in `folder` as a torch model or as the ONNX graph that the services run."""
    if variant in GRAPHS:
        with TemporaryDirectory() as scratch:
            target = Path(scratch) / "model"
            minilm.build(base_dir(), folder, target)
            return _graph(target / GRAPHS[variant])
    model = MiniLM(head_size, pooling)
    model.load_adapter(folder / "adapter.safetensors")
    return model.eval()


def _graph(path: Path) -> Scorer:
    """Open a graph on one thread; a span graph's two outputs become (rows, tokens, 2)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def score(ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        inputs = {"input_ids": ids, "attention_mask": mask.long(), "token_type_ids": types}
        outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        tensors = [torch.from_numpy(output) for output in outputs]
        return tensors[0] if len(tensors) == 1 else torch.stack(tensors, dim=-1)

    return score
