"""What the console can be told."""

from typing import Annotated

from pydantic import Field, HttpUrl
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the console, read from `CONSOLE_*`."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8005
    """Port to listen on; 0 takes a free one."""
    gateway_url: HttpUrl = HttpUrl("http://127.0.0.1:8080")
    """Address of the gateway, whose public API the console calls."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 64 * 1024 * 1024
    """Largest accepted request body, uploaded files included."""
    wish_seconds: Annotated[float, Field(gt=0, le=86400)] = 600.0
    """Time that a wish may take, waiting in the queue included."""
    look_seconds: Annotated[float, Field(gt=0, le=600)] = 15.0
    """Time that a look at the services, a picture or a document may take."""
    at_once: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Wishes that are carried out at the same time; more wait."""
    files_kept_seconds: Annotated[int, Field(ge=60)] = 24 * 3600
    """Time after which uploaded files and shown pictures are deleted from the console's disk."""
