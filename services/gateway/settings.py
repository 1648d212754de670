"""The gateway's knobs."""

import ipaddress
from typing import Annotated

from pydantic import Field, FilePath, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Where the services are, who may call, and which router decides."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 64 * 1024 * 1024
    """Largest accepted request body; each service has its own, smaller limit besides."""
    model: str = "embedded:router"
    """Reference of the intent router's model."""
    classifier_url: HttpUrl = HttpUrl("http://127.0.0.1:8001")
    """Address of the classifier."""
    qa_url: HttpUrl = HttpUrl("http://127.0.0.1:8002")
    """Address of the question answering service."""
    imagegen_url: HttpUrl = HttpUrl("http://127.0.0.1:8003")
    """Address of the picture service."""
    rag_url: HttpUrl = HttpUrl("http://127.0.0.1:8004")
    """Address of the knowledge base."""
    console_url: HttpUrl = HttpUrl("http://127.0.0.1:8005")
    """Address of the console."""
    llm_url: HttpUrl | None = None
    """Base address of an OpenAI-compatible server, `/v1` included; without one, nothing is written."""
    llm_model: str = "default"
    """Name of the model to ask that server for."""
    llm_key: SecretStr | None = None
    """Key that is sent to that server."""
    default_collection: str = "default"
    """Collection of the knowledge base that is asked when a request names none."""
    openapi_refresh_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time between two looks at the services' OpenAPI documents."""
    keys: SecretStr | None = None
    """Keys as `SHA256 TENANT`, separated by commas; with no keys at all everyone is `default`."""
    keys_file: FilePath | None = None
    """File with one `SHA256 TENANT` per line."""
    allow_anonymous: Annotated[bool, Field(validate_default=True)] = False
    """Whether a gateway without keys may listen beyond this machine."""

    @field_validator("allow_anonymous")
    @classmethod
    def _is_closed_or_local(cls, allowed: bool, info: ValidationInfo) -> bool:
        has_keys = info.data.get("keys") or info.data.get("keys_file")
        if not (allowed or has_keys or _is_loopback(info.data.get("host", ""))):
            raise ValueError(
                "listening beyond this machine needs GATEWAY_KEYS or GATEWAY_KEYS_FILE, "
                "or GATEWAY_ALLOW_ANONYMOUS=true to let everyone in"
            )
        return allowed


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
