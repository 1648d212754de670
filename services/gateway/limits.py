"""Who may call: API keys, kept as SHA-256, and the tenant of each."""

import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from kit.app import TENANT
from kit.errors import Unauthorized
from services.gateway.settings import Settings

SHA256 = re.compile(r"[0-9a-f]{64}")
DEFAULT_TENANT = "default"


class Keys:
    """Knows the tenant of every key, and no key itself.

    Without keys everyone is the tenant `default`.
    """

    def __init__(self, tenants: Mapping[str, str]) -> None:
        self._tenants = tenants

    @classmethod
    def from_settings(cls, settings: Settings) -> "Keys":
        """Read the keys, or stop the process with one message."""
        text = settings.keys.get_secret_value().replace(",", "\n") if settings.keys else ""
        if settings.keys_file is not None:
            text += "\n" + settings.keys_file.read_text(encoding="utf-8")
        lines = (line.partition("#")[0].split() for line in text.splitlines())
        return cls(dict(_entry(words) for words in lines if words))

    @property
    def are_needed(self) -> bool:
        """Tell whether a call needs one."""
        return bool(self._tenants)

    def tenant(self, key: str | None) -> str:
        """Return whose key it is; raises Unauthorized for an unknown or missing one."""
        if not self.are_needed:
            return DEFAULT_TENANT
        known = self._tenants.get(hashlib.sha256(key.encode()).hexdigest()) if key else None
        if known is None:
            detail = "Unknown key." if key else "A key is needed: `Authorization: Bearer KEY`."
            raise Unauthorized(detail, headers={"WWW-Authenticate": "Bearer"})
        return known


def _entry(words: list[str]) -> tuple[str, str]:
    if len(words) != 2 or not SHA256.fullmatch(words[0]) or not TENANT.fullmatch(words[1]):
        sys.stderr.write(
            "Wrong setting GATEWAY_KEYS or GATEWAY_KEYS_FILE: each key is `SHA256 TENANT`, "
            "64 hexadecimal digits and a tenant's name.\n"
        )
        raise SystemExit(2)
    return words[0], words[1]


Bearer = Annotated[
    HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, scheme_name="Key"))
]


async def _tenant(request: Request, credentials: Bearer) -> str:
    keys: Keys = request.app.state.keys
    return keys.tenant(credentials.credentials if credentials else None)


Tenant = Annotated[str, Depends(_tenant)]
"""The caller's tenant by its key; what the caller says about it counts for nothing."""
