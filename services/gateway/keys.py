"""API keys: made, listed and withdrawn by a command; known to the gateway by their SHA-256 alone.

    python -m services.gateway.keys create --tenant acme --name ci --scopes assist,rag:read
    python -m services.gateway.keys list
    python -m services.gateway.keys revoke 3f9a0c2d51e8

The keys are in the file `GATEWAY_KEYS_FILE`, or in Redis with `GATEWAY_KEYS_IN_REDIS`. A running
gateway takes changes over within seconds.
"""

import argparse
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Any, Protocol

import redis
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kit.app import TENANT
from kit.settings import load
from services.gateway.settings import Settings, checked_rate

DIGEST = re.compile(r"[0-9a-f]{64}")
DEFAULT_TENANT = "default"
SCOPES = ("assist", "classifier", "qa", "imagegen", "rag", "rag:read")
ID_DIGITS = 12
REDIS_SECONDS = 2.0
IN_REDIS = "gateway:keys"


def _scope(name: str) -> str:
    if name not in SCOPES:
        raise ValueError(f"no scope is named {name}; there are {', '.join(SCOPES)}")
    return name


class Key(BaseModel):
    """What a key may do; the key itself is nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: Annotated[str, Field(pattern=DIGEST.pattern)]
    tenant: Annotated[str, Field(pattern=f"^{TENANT.pattern}$")]
    name: Annotated[str, Field(max_length=100)] = ""
    scopes: tuple[Annotated[str, AfterValidator(_scope)], ...] = ()
    """Parts of the API that it opens; all of them when empty."""
    rate: Annotated[str, AfterValidator(checked_rate)] = ""
    """Requests in a time, as `60/minute`; the gateway's own when empty."""
    daily: Annotated[int, Field(ge=0)] = 0
    """Requests in a day; the gateway's own when 0."""
    expires: AwareDatetime | None = None
    created: AwareDatetime | None = None

    @property
    def id(self) -> str:
        """Return what the key is called in lists and commands."""
        return self.digest[:ID_DIGITS]

    @property
    def has_expired(self) -> bool:
        """Tell whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def line(self) -> str:
        """Return the key as a line of the file."""
        rest = self.model_dump(mode="json", exclude={"digest", "tenant"}, exclude_defaults=True)
        return f"{self.digest} {self.tenant} {json.dumps(rest)}" if rest else self.line_of_two()

    def line_of_two(self) -> str:
        """Return the digest and the tenant."""
        return f"{self.digest} {self.tenant}"


class WrongKey(ValueError):
    """A stored key cannot be read."""


def digest_of(key: str) -> str:
    """Return what is stored of a key; it holds 256 random bits, which no one can guess back."""
    return hashlib.sha256(key.encode()).hexdigest()


def parsed(line: str) -> Key | None:
    """Read `SHA256 TENANT [JSON]`; None for an empty line or a comment."""
    words = line.split(maxsplit=2)
    if not words or words[0].startswith("#"):
        return None
    rest = words[2] if len(words) == 3 and not words[2].startswith("#") else "{}"
    try:
        if len(words) < 2:
            raise WrongKey("each key is `SHA256 TENANT`, 64 hexadecimal digits and a tenant's name")
        return Key.model_validate({"digest": words[0], "tenant": words[1], **json.loads(rest)})
    except (ValidationError, ValueError, TypeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise WrongKey(f"`{line[:20]}...`: {said}") from None


class KeyStore(Protocol):
    """Where keys are kept; blocking."""

    def load(self) -> list[Key]:
        """Return every key; raises OSError, RedisError or WrongKey."""
        ...

    def add(self, key: Key) -> None:
        """Keep one more."""
        ...

    def remove(self, digest: str) -> None:
        """Keep it no longer."""
        ...


class KeysInFile:
    """One key per line, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> list[Key]:
        """Read the file."""
        return [key for line in self._lines() if (key := parsed(line)) is not None]

    def add(self, key: Key) -> None:
        """Append a line."""
        self._write([*(self._lines() if self._path.exists() else []), key.line()])

    def remove(self, digest: str) -> None:
        """Drop its line and keep the others, comments too, as they are."""
        self._write(line for line in self._lines() if not line.startswith(digest))

    def _lines(self) -> list[str]:
        return self._path.read_text(encoding="utf-8").splitlines()

    def _write(self, lines: Iterable[str]) -> None:
        """Replace the file at once: a gateway that reads meanwhile sees the old or the new one."""
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".keys-")  # mode 600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path)


class KeysInRedis:
    """One hash in Redis, shared by every gateway."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
        )

    def load(self) -> list[Key]:
        """Read the hash."""
        entries: Any = self._redis.hvals(IN_REDIS)
        return [key for entry in entries if (key := parsed(entry.decode())) is not None]

    def add(self, key: Key) -> None:
        """Set its field."""
        self._redis.hset(IN_REDIS, key.digest, key.line())

    def remove(self, digest: str) -> None:
        """Delete its field."""
        self._redis.hdel(IN_REDIS, digest)


def store_of(settings: Settings) -> KeyStore | None:
    """Return where the settings say that keys are; None for those of `GATEWAY_KEYS` alone."""
    if settings.keys_in_redis:
        assert settings.redis_url is not None  # the settings insist on it
        return KeysInRedis(settings.redis_url.get_secret_value())
    return KeysInFile(settings.keys_file) if settings.keys_file is not None else None


def _end_of_day(text: str) -> datetime:
    """Read a date, whose whole day counts, or a moment with its time zone."""
    moment = datetime.fromisoformat(text)
    if len(text) == len("2027-01-31"):
        moment = datetime.combine(moment.date(), time.max, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _create(store: KeyStore, given: argparse.Namespace) -> str:
    secret = f"sb_{secrets.token_urlsafe(32)}"
    key = Key(
        digest=digest_of(secret),
        tenant=given.tenant,
        name=given.name,
        scopes=tuple(given.scopes.split(",")) if given.scopes else (),
        rate=given.rate,
        daily=given.daily,
        expires=given.expires,
        created=datetime.now(UTC).replace(microsecond=0),
    )
    store.add(key)
    return f"{secret}\n\nThis is key {key.id} of {key.tenant}. It is shown this once; keep it.\n"


def _list(store: KeyStore, _: argparse.Namespace) -> str:
    head = ("id", "tenant", "name", "scopes", "rate", "daily", "expires", "created")
    rows = [head, *(_row(key) for key in store.load())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _row(key: Key) -> tuple[str, ...]:
    expires = f"{key.expires:%Y-%m-%d}" if key.expires else "-"
    return (
        key.id,
        key.tenant,
        key.name or "-",
        ",".join(key.scopes) or "all",
        key.rate or "-",
        str(key.daily or "-"),
        f"{expires} (over)" if key.has_expired else expires,
        f"{key.created:%Y-%m-%d}" if key.created else "-",
    )


def _revoke(store: KeyStore, given: argparse.Namespace) -> str:
    found = [key for key in store.load() if key.digest.startswith(given.id)]
    if len(found) != 1:
        raise WrongKey(f"{len(found)} keys have an id that begins with {given.id}.")
    store.remove(found[0].digest)
    return f"Key {found[0].id} of {found[0].tenant} is withdrawn.\n"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.gateway.keys",
        description="Make, list and withdraw the gateway's API keys.",
    )
    commands = parser.add_subparsers(required=True)
    create = commands.add_parser("create", help="make a key and show it once")
    create.add_argument("--tenant", required=True, help="whose key it is")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--scopes", default="", help=f"of {', '.join(SCOPES)}; all by default")
    create.add_argument("--rate", default="", help="requests in a time, as 60/minute")
    create.add_argument("--daily", type=int, default=0, help="requests in a day")
    create.add_argument("--expires", type=_end_of_day, help="last day, as 2027-01-31")
    create.set_defaults(run=_create)
    commands.add_parser("list", help="show what every key may do").set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="withdraw a key")
    revoke.add_argument("id", type=_id, help="its id, as `list` shows it")
    revoke.set_defaults(run=_revoke)
    return parser


def _id(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4,64}", text):
        raise argparse.ArgumentTypeError("an id is 4 or more hexadecimal digits")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 2 with one message when it cannot be done."""
    given = _arguments().parse_args(arguments)
    run: Callable[[KeyStore, argparse.Namespace], str] = given.run
    store = store_of(load(Settings))
    if store is None:
        sys.stderr.write("Say where the keys are: GATEWAY_KEYS_FILE or GATEWAY_KEYS_IN_REDIS.\n")
        return 2
    try:
        sys.stdout.write(run(store, given))
    except ValidationError as error:
        sys.stderr.write(f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}\n")
        return 2
    except (OSError, redis.RedisError, WrongKey) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
