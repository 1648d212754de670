"""What the question answering service can be told."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from kit.onnx_model import Device, Precision
from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of question answering, read from `QA_*`."""

    model_config = SettingsConfigDict(env_prefix="QA_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8002
    """Port to listen on; 0 takes a free one."""
    model: str = "embedded:qa"
    """Extractive model: `embedded:NAME`, `hub:OWNER/NAME[@REVISION]` or `path:FOLDER`."""
    device: Device = "auto"
    """Where the model runs: `cpu`, `cuda` (no start without a GPU), `auto`: a GPU where one works."""
    precision: Precision = "auto"
    """Graph to prefer: `int8`, `fp16` or `fp32`; `auto` is INT8 on a CPU and fp16 on a GPU."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of the model."""
    batch_items: Annotated[int, Field(ge=1)] = 16
    """Most windows of context in one batch."""
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    """Most tokens in one batch, padding included."""
    queue_ms: Annotated[float, Field(gt=0)] = 5000.0
    """Estimated work that may wait; beyond it callers get 429."""
    window_tokens: Annotated[int, Field(ge=64)] = 384
    """Most tokens in a window, the question included; the model may allow fewer."""
    overlap_tokens: Annotated[int, Field(ge=0)] = 64
    """Tokens that neighbouring windows of a long context share; more than an answer may have."""
    answer_tokens: Annotated[int, Field(ge=1)] = 48
    """Most tokens in an answer; Russian takes about three per word with the embedded model."""
