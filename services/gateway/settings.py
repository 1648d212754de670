"""The gateway's knobs."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

import limits
from pydantic import (
    AfterValidator,
    Field,
    FilePath,
    HttpUrl,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


def checked_rate(rate: str) -> str:
    """Return the rate as it is, if it can be read."""
    if rate:
        try:
            limits.parse(rate)
        except ValueError:
            raise ValueError("a rate is requests in a time, for example 60/minute") from None
    return rate


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
    intents: FilePath | None = None
    """YAML file with intents of your own for every tenant; `PUT /v1/intents` adds a tenant's own."""
    data: Path = Path("data/gateway")
    """Folder where one gateway keeps what tenants teach it; several keep it in Redis."""
    escalation_url: HttpUrl | None = None
    """Address that is told when a person should take over; see the README for its signature."""
    escalation_secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    """Secret that signs what is sent there (HMAC-SHA256); `whsec_` before base64, or any text."""
    escalation_anger: Annotated[float, Field(gt=0, le=1)] = 0.59
    """Probability of anger from which a person should take over; measured in models/router/README.md."""
    openapi_refresh_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time between two looks at the services' OpenAPI documents."""
    redis_url: SecretStr | None = None
    """Redis that all gateways count requests in, keep intents in, and keys if told so; each alone without."""
    keys: SecretStr | None = None
    """Keys as `SHA256 TENANT`, separated by commas; with no keys at all everyone is `default`."""
    keys_file: Path | None = None
    """File with one `SHA256 TENANT` per line, kept by `python -m services.gateway.keys`."""
    keys_in_redis: bool = False
    """Whether that command keeps the keys in Redis instead."""
    rate_limit: Annotated[str, AfterValidator(checked_rate)] = ""
    """Requests that each key may send in a time, as `60/minute`, unless it has a limit of its own."""
    daily_quota: Annotated[int, Field(ge=0)] = 0
    """Requests that each key may send in a day, unless it has a quota of its own; 0 for no end."""
    limits_fail_closed: bool = False
    """Whether to refuse requests while Redis cannot count them, instead of serving them uncounted."""
    cors_origins: str = ""
    """Origins whose pages may call, separated by commas; `*` for any."""
    hedge: bool = False
    """Whether to ask a text service a second time when it is slower than 19 of 20 answers were."""
    allow_anonymous: Annotated[bool, Field(validate_default=True)] = False
    """Whether a gateway without keys may listen beyond this machine."""

    @field_validator("escalation_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("escalation_url") and not (secret and secret.get_secret_value()):
            raise ValueError(
                "GATEWAY_ESCALATION_URL needs it: unsigned calls could come from anyone"
            )
        return secret

    @field_validator("allow_anonymous")
    @classmethod
    def _is_closed_or_local(cls, allowed: bool, info: ValidationInfo) -> bool:
        has_keys = any(info.data.get(name) for name in ("keys", "keys_file", "keys_in_redis"))
        if not (allowed or has_keys or _is_loopback(info.data.get("host", ""))):
            raise ValueError(
                "listening beyond this machine needs GATEWAY_KEYS, GATEWAY_KEYS_FILE or "
                "GATEWAY_KEYS_IN_REDIS, or GATEWAY_ALLOW_ANONYMOUS=true to let everyone in"
            )
        return allowed

    @model_validator(mode="after")
    def _has_redis_for_keys(self) -> Self:
        if self.keys_in_redis and self.redis_url is None:
            raise ValueError("GATEWAY_KEYS_IN_REDIS needs GATEWAY_REDIS_URL")
        return self

    @property
    def needs_key(self) -> bool:
        """Tell whether calls need a key: once keys are set up, also when none is left."""
        return bool(self.keys or self.keys_file or self.keys_in_redis)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
