"""What the classifier can be told."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.onnx_model import Device, Precision
from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the classifier, read from `CLASSIFIER_*`."""

    model_config = SettingsConfigDict(env_prefix="CLASSIFIER_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8001
    """Port to listen on; 0 takes a free one."""
    model: str = "embedded:emotions"
    """Model of `/v1/classify`: `embedded:NAME`, `hub:OWNER/NAME[@REVISION]` or `path:FOLDER`."""
    zero_shot_model: str = "embedded:minilm"
    """Sentence embedder of `/v1/zero-shot`, referred to in the same way."""
    device: Device = "auto"
    """Where models run: `cpu`, `cuda` (no start without a GPU), `auto`: a GPU where one works."""
    precision: Precision = "auto"
    """Graph to prefer: `int8`, `fp16` or `fp32`; `auto` is INT8 on a CPU and fp16 on a GPU."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of each model."""
    batch_items: Annotated[int, Field(ge=1)] = 32
    """Most windows of text in one batch."""
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    """Most tokens in one batch, padding included."""
    queue_ms: Annotated[float, Field(gt=0)] = 5000.0
    """Estimated work that may wait; beyond it callers get 429."""
    overlap_tokens: Annotated[int, Field(ge=0)] = 64
    """Tokens that neighbouring windows of a long text share."""
