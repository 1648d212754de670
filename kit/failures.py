"""What a service's failure means to whoever called it."""

import asyncio
import math
import time
from http import HTTPStatus

import httpx2

from kit.errors import (
    DeadlineExceeded,
    Overloaded,
    ServiceError,
    Unauthorized,
    UpstreamFailed,
)

DEFAULT_RETRY_MS = 1000.0
SLOW_TURN_SECONDS = 0.25
ERRORS = {status for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}


class Late(DeadlineExceeded):
    """The budget ended while the service was silent."""


class translated:  # noqa: N801 - reads as a phrase: with translated(name)
    """Turn the HTTP library's exceptions into ours, naming the service."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            raise UpstreamFailed(f"The service {self.name} cannot be reached.") from error
        if isinstance(error, httpx2.TimeoutException):
            raise Late(f"The service {self.name} did not answer in time.") from error
        if isinstance(error, httpx2.TransportError):
            raise UpstreamFailed(f"The service {self.name} broke the connection.") from error


def problem_of_answer(name: str, response: httpx2.Response) -> ServiceError:
    """Rebuild the error that a service answered, so that its status and advice survive the hop."""
    try:
        body = response.json()
        detail, code = str(body["detail"]), body.get("code")
    except (ValueError, KeyError, TypeError):
        detail, code = f"The service {name} answered {response.status_code}.", None
    if response.status_code == Overloaded.status:
        return Overloaded(detail, retry_after_seconds=_retry_ms(response) / 1000)
    if response.status_code == 500:
        return UpstreamFailed(f"The service {name} failed.")
    if response.status_code == Unauthorized.status:  # our token is wrong, not the caller's key
        return UpstreamFailed(f"The service {name} refused the token of this one.")
    if response.status_code not in ERRORS:  # a redirect, or a proxy's own invention
        return UpstreamFailed(f"The service {name} answered {response.status_code}.")
    error = ServiceError(detail, code=code)
    error.status = HTTPStatus(response.status_code)
    return error


def _retry_ms(response: httpx2.Response) -> float:
    """Read the advice in milliseconds, or in seconds as servers of others give it."""
    for name, unit_ms in (("retry-after-ms", 1.0), ("retry-after", 1000.0)):
        try:
            stated = float(response.headers[name]) * unit_ms
        except (KeyError, ValueError):
            continue
        if math.isfinite(stated) and stated >= 0:
            return stated
    return DEFAULT_RETRY_MS


async def are_we_slow() -> bool:
    """Tell whether this process is so busy that it misses answers that are there."""
    before = time.monotonic()
    await asyncio.sleep(0)
    return time.monotonic() - before > SLOW_TURN_SECONDS


def is_its_fault(error: ServiceError, *, is_patient: bool) -> bool:
    """Tell whether a failed call says that the service is ill."""
    if isinstance(error, Late) and error.__cause__ is None:
        return is_patient
    cause = error.__cause__
    return isinstance(cause, httpx2.TransportError) and not isinstance(cause, httpx2.PoolTimeout)
