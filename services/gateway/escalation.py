"""Call a person: when nothing answers, or when someone is clearly angry; told by a signed webhook.

The webhook speaks Standard Webhooks 1.0 (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and `webhook-signature`, an
HMAC-SHA256 over "id.timestamp.body".
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx2
import structlog
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from services.gateway.schemas import Branch, Escalation
from services.gateway.settings import Settings

ANGRY: Final = ("anger", "annoyance", "disgust")
SUPPORT: Final = ("ask", "chat")  # the intents in which people speak for themselves
ATTEMPTS: Final = 8  # with the pauses below: about four minutes
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 10.0
MOST_WAITING: Final = 1000
CLOSING_SECONDS: Final = 3.0

Reason = Literal["no_answer", "anger"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Case:
    """What happened, as far as it matters for a person who takes over."""

    tenant: str
    request_id: str
    text: str
    language: str
    conversation_id: str | None
    intent: str
    output: Any


class Refused(Exception):
    """The receiver did not take it; it will be told again."""


class Escalations:
    """Decides when a person should take over, and tells the webhook in the background.

    Never holds an answer up. Each escalation has one id in all attempts; what cannot be delivered in eight of them, or is still
    waiting three seconds after the end, is logged and dropped.
    """

    def __init__(self, settings: Settings, http: httpx2.AsyncClient) -> None:
        self._url = str(settings.escalation_url) if settings.escalation_url else None
        self._key = _key(
            settings.escalation_secret.get_secret_value() if settings.escalation_secret else ""
        )
        self._limit = settings.escalation_anger
        self._http = http
        self._running: set[asyncio.Task[None]] = set()
        self.first_pause_seconds = FIRST_PAUSE_SECONDS

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: Settings) -> "AsyncGenerator[Escalations]":
        """Open a client; at the end give what is on its way a moment."""
        async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            escalations = cls(settings, http)
            try:
                yield escalations
            finally:
                await escalations.close()

    @property
    def wants_emotion(self) -> bool:
        """Tell whether support answers should look at the emotion unasked."""
        return self._url is not None

    def judge(self, case: Case, branches: Mapping[str, Branch]) -> Escalation | None:
        """Return why a person should take over, and tell them, or None."""
        anger = _anger(branches.get("classify"))
        reasons = _reasons(case, anger, self._limit)
        if not reasons:
            return None
        is_told = self._url is not None and len(self._running) < MOST_WAITING
        escalation = Escalation(
            id=f"esc_{uuid.uuid4().hex}", reasons=reasons, anger=anger, notified=is_told
        )
        if is_told:
            task = asyncio.create_task(self._deliver(escalation.id, _body(case, escalation)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif self._url is not None:
            log.warning("escalation_dropped", id=escalation.id, reason="too many are waiting")
        return escalation

    async def close(self) -> None:
        """Wait a moment for what is on its way, then give it up."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=CLOSING_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _deliver(self, name: str, body: bytes) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type((Refused, httpx2.HTTPError)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(
                initial=self.first_pause_seconds,
                max=LONGEST_PAUSE_SECONDS,
                jitter=self.first_pause_seconds,
            ),
        )
        try:
            await attempts(self._send, name, body)
        except RetryError:
            log.error("escalation_lost", id=name, attempts=ATTEMPTS)
        except asyncio.CancelledError:
            log.warning("escalation_lost", id=name, reason="the gateway ends")
            raise

    async def _send(self, name: str, body: bytes) -> None:
        assert self._url is not None
        stamp = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": signature(self._key, name, stamp, body),
        }
        response = await self._http.post(self._url, content=body, headers=headers)
        if not response.is_success:
            raise Refused(response.status_code)
        log.info("escalation_delivered", id=name)


def signature(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """Return `v1,` and the base64 HMAC-SHA256 of "id.timestamp.body"."""
    digest = hmac.new(key, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def _reasons(case: Case, anger: float | None, limit: float) -> list[Reason]:
    reasons: list[Reason] = []
    is_unanswered = isinstance(case.output, dict) and case.output.get("answered") is False
    if case.intent == "ask" and is_unanswered:
        reasons.append("no_answer")
    if case.intent in SUPPORT and anger is not None and anger >= limit:
        reasons.append("anger")
    return reasons


def _anger(branch: Branch | None) -> float | None:
    """Return the strongest of the angry emotions, or None when the emotion was not found out."""
    if branch is None or branch.output is None:
        return None
    try:
        scores = {s["label"]: float(s["score"]) for s in branch.output["results"][0]["scores"]}
    except (LookupError, TypeError, ValueError):
        return None
    found = [scores[label] for label in ANGRY if label in scores]
    return round(max(found), 4) if found else None


def _body(case: Case, escalation: Escalation) -> bytes:
    data = {
        "id": escalation.id,
        "reasons": escalation.reasons,
        "anger": escalation.anger,
        "tenant": case.tenant,
        "request_id": case.request_id,
        "conversation_id": case.conversation_id,
        "language": case.language,
        "text": case.text,
        "output": case.output,
    }
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = {"type": "conversation.escalated", "timestamp": stamp, "data": data}
    return json.dumps(told, ensure_ascii=False).encode()


def is_support(intent: str) -> bool:
    """Tell whether people speak for themselves in this intent."""
    return intent in SUPPORT
