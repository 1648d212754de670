"""What every service can be told, and how a wrong value is reported."""

import sys
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """Settings that all services share; a service subclasses it and adds an `env_prefix`.

    `LISTEN_HOST`, `INTERNAL_TOKEN`, `MODELS_DIR` and `OTEL_EXPORTER_OTLP_ENDPOINT` carry no prefix:
    all services share their values.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        use_attribute_docstrings=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,  # compose and Kubernetes hand on unset variables as empty ones
    )

    host: Annotated[str, Field(validation_alias=AliasChoices("LISTEN_HOST", "host"))] = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: Literal["json", "console"] = "json"
    """`json` for machines, `console` for people."""
    log_requests: bool = False
    """Whether each request is a line in the log: method, route, status and time, never its content."""
    otlp_endpoint: Annotated[
        HttpUrl | None,
        Field(validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint")),
    ] = None
    """Collector to send traces to, OTLP over HTTP, as `http://collector:4318`; by default none."""
    internal_token: Annotated[
        SecretStr | None, Field(validation_alias=AliasChoices("INTERNAL_TOKEN", "internal_token"))
    ] = None
    """Token that callers must send as `X-Internal-Token`; nothing is asked for when unset."""
    models_dir: Annotated[
        Path, Field(validation_alias=AliasChoices("MODELS_DIR", "models_dir"))
    ] = Path(".models")
    """Folder in which prepared and downloaded models are kept."""
    request_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time budget of a request that states none."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 2 * 1024 * 1024
    """Largest accepted request body."""
    drain_seconds: Annotated[float, Field(ge=0)] = 0.25
    """Time between failing readiness on SIGTERM and closing the socket; behind a balancer, longer than it
    takes to hear of it (Kubernetes: 5)."""


def load(settings: type[S]) -> S:
    """Read the settings from the environment, or stop the process with one message."""
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"]).upper()
            name = name if name.startswith(prefix) else prefix + name
            sys.stderr.write(f"Wrong setting {name}: {problem['msg']}\n")
        raise SystemExit(2) from None
