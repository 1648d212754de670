"""The OpenAI-compatible server that writes and chats: `GATEWAY_LLM_URL`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from kit.client import ServiceClient
from kit.errors import Overloaded, ServiceError, UpstreamFailed
from services.gateway.events import Emit, received
from services.gateway.settings import Settings

COMPLETIONS = "/chat/completions"
STRANGE = "The language model did not answer in OpenAI's shape."

Message = Mapping[str, Any]
"""One turn as OpenAI writes it: `role` and `content`."""


@dataclass(frozen=True)
class Completion:
    """What the model wrote, and what it says about that where it says so."""

    text: str
    finish_reason: str | None = None
    usage: Any = None

    def output(self) -> dict[str, Any]:
        """Return the answer's body; what the server left out is left out here."""
        said = {"text": self.text, "finish_reason": self.finish_reason, "usage": self.usage}
        return {name: value for name, value in said.items() if value is not None}


class LanguageModel:
    """Asks the server in OpenAI's words; its failures are its own and never the caller's."""

    def __init__(self, client: ServiceClient, settings: Settings) -> None:
        self.client = client
        self.name = settings.llm_model
        base = httpx2.URL(str(settings.llm_url)).raw_path.rstrip(b"/")
        self.target = base + COMPLETIONS.encode()
        """Where a request for completions is passed on to."""
        key = settings.llm_key
        self.headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    async def complete(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Completion:
        """Return the whole text at once."""
        order = {"model": self.name, "messages": messages, **options}
        response = await self.client.request(
            "POST", COMPLETIONS, json=order, headers=self.headers or None
        )
        self._accepted(response)
        try:
            said = response.json()
            choice = said["choices"][0]
            text = choice["message"]["content"]
            return Completion(str(text), choice.get("finish_reason"), said.get("usage"))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UpstreamFailed(STRANGE) from None

    async def stream(
        self, messages: Sequence[Message], options: Mapping[str, Any], emit: Emit
    ) -> Completion:
        """Emit each piece as a `token` event when it comes, and return the whole text."""
        order = {"model": self.name, "messages": messages, **options, "stream": True}
        headers = {**self.headers, "Accept": "text/event-stream"}
        async with self.client.stream("POST", COMPLETIONS, json=order, headers=headers) as response:
            if not response.is_success:
                await response.aread()
            self._accepted(response)
            return await _spoken(response.aiter_lines(), emit)

    async def models(self) -> list[dict[str, Any]]:
        """Return the models that the server lists; the configured one where it lists none."""
        listed: Any = None
        try:
            response = await self.client.request("GET", "/models", headers=self.headers or None)
            listed = response.json().get("data") if response.is_success else None
        except (ServiceError, ValueError, AttributeError):
            listed = None
        if not isinstance(listed, list):
            listed = []
        known = [model for model in listed if isinstance(model, dict) and "id" in model]
        return known or [{"id": self.name}]

    def _accepted(self, response: httpx2.Response) -> None:
        if response.status_code == Overloaded.status:
            self.client.parsed(response)  # raises, with the server's own advice
        if not response.is_success:
            raise UpstreamFailed(f"The language model answered {response.status_code}.")


async def _spoken(lines: AsyncIterator[str], emit: Emit) -> Completion:
    """Read the stream to its end; one that breaks off or ends in an error is a failure."""
    parts, finish_reason, usage = list[str](), None, None
    async for event in received(lines):
        said = event.data
        if not isinstance(said, dict):
            raise UpstreamFailed(STRANGE)
        if "error" in said:
            raise UpstreamFailed("The language model failed in the middle of its answer.")
        usage = said.get("usage") or usage
        for choice in said.get("choices") or []:
            finish_reason = choice.get("finish_reason") or finish_reason
            if text := (choice.get("delta") or {}).get("content"):
                parts.append(text)
                await emit("token", {"text": text})
    if not parts and finish_reason is None:
        raise UpstreamFailed(STRANGE)
    return Completion("".join(parts), finish_reason, usage)
