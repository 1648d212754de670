"""What the picture service can be told."""

from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


def _number(given: object) -> object:
    """Read what the environment gives as text: a Literal compares without converting."""
    return int(given) if isinstance(given, str) and given.isdecimal() else given


class Settings(ServiceSettings):
    """Settings of the API; the worker reads them too."""

    model_config = SettingsConfigDict(env_prefix="IMAGEGEN_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8003
    """Port of the API; 0 takes a free one."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024
    """Largest accepted request body; blends carry pictures."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis that holds the jobs: `redis://`, `rediss://` or `unix://`."""
    storage_url: str = "data/pictures"
    """Where pictures are kept: a folder or a `file://`, `s3://`, `gs://` or `az://` URL."""
    model: str = "embedded:tiny-sdxl"
    """Reference of the painting model: any SDXL or Kandinsky 2.2 in diffusers' layout."""
    prior: str = ""
    """Reference of Kandinsky's prior; by default it is found by its name, beside the decoder."""
    vae: str = ""
    """Reference of another VAE, or `own`; empty is what the model's card recommends."""
    lora_dir: str = ""
    """Folder of LoRAs, `NAME.safetensors`, that requests may name; read at the worker's start."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs; `auto` takes a GPU if there is one."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Numbers that it calculates with; `auto` is float16 on a GPU, bfloat16 with FP8, else float32."""
    channels_last: bool | None = None
    """Whether pictures lie in memory pixel by pixel, as tensor cores want them; by default on a GPU."""
    fuse_qkv: bool | None = None
    """Whether attention's three projections are one; by default on a GPU without LoRAs."""
    compile: bool | None = None
    """Whether the UNet's blocks are compiled, at each size's first picture; by default on a GPU."""
    fp8: bool = False
    """Whether the UNet's linear layers multiply in FP8; needs torchao and a GPU from Ada on."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads that the model may use."""
    batch_pictures: Annotated[Literal[1, 2, 4, 8, 16], BeforeValidator(_number)] = 4
    """Pictures painted at once; every batch is padded to it, so it is part of a picture's identity."""
    lease_seconds: Annotated[float, Field(ge=0.2)] = 30.0
    """Time without a sign of life after which a worker's jobs go to another worker."""
    fsync_wait_ms: Annotated[int, Field(ge=0, le=4000)] = 2000
    """Time in which Redis must have a job safe from a crash, else 503; 0 does not wait."""
    max_losses: Annotated[int, Field(ge=1)] = 3
    """Workers that a job may take down with it before it is given up."""
    max_backlog_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Estimated work in the queue above which new jobs are refused with 429."""
    max_waiting_per_tenant: Annotated[int, Field(ge=1)] = 1000
    """Waiting jobs that one tenant may have."""
    max_wait_seconds: Annotated[int, Field(ge=1)] = 24 * 3600
    """Time after which a job that no worker took fails."""
    result_ttl_seconds: Annotated[int, Field(ge=1)] = 24 * 3600
    """Time for which a finished job and its pictures are kept."""
    max_megapixels: Annotated[float, Field(gt=0)] = 2.5
    """Largest picture."""
    max_event_streams: Annotated[int, Field(ge=1)] = 256
    """Event streams that may be open at once."""
    max_heartbeat_age_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Age of the last worker's sign of life above which the API is not ready."""


class WorkerSettings(Settings):
    """The same settings for the worker, with its own port."""

    port: Annotated[
        int,
        Field(ge=0, le=65535, validation_alias=AliasChoices("IMAGEGEN_WORKER_PORT", "port")),
    ] = 8013
    """Port of the worker's probes and metrics; 0 takes a free one."""
