"""Any OpenAI-compatible language model, and the prompts that it is given."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any, Self

import openai
from anyio import to_thread
from openai import AsyncOpenAI

from kit import deadline, logs
from kit.errors import DeadlineExceeded, Overloaded, ServiceError, UpstreamFailed
from services.rag.settings import Settings

PROMPTS = Path(__file__).parent / "prompts"
NAMES = ("answer", "question", "rewrite", "summary")
LONGEST_SECONDS = 600.0
CONNECT_SECONDS = 5.0
DEFAULT_RETRY_SECONDS = 1.0
MAX_NOTE_TOKENS = 300  # of a rewritten question or a summary

Messages = list[dict[str, str]]


class Prompts:
    """The texts given to a language model: files, so that an operator can change them."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def system(self, name: str) -> dict[str, str]:
        """Return an instruction."""
        return {"role": "system", "content": self._texts[name].strip()}

    def question(self, question: str, sources: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Return the question with titles and texts as JSON, which no text can break out of."""
        lines = [
            json.dumps({"source": number, "title": title, "text": text}, ensure_ascii=False)
            for number, (title, text) in enumerate(sources, start=1)
        ]
        filled = Template(self._texts["question"]).safe_substitute(
            sources="\n".join(lines), question=question
        )
        return {"role": "user", "content": filled.strip()}

    @classmethod
    def load(cls, folder: Path | None) -> Self:
        """Read our own files, and those of the folder in their place; blocking."""
        places = [PROMPTS, *([folder] if folder else [])]
        texts = {}
        for name in NAMES:
            files = [place / f"{name}.txt" for place in places]
            texts[name] = [file for file in files if file.is_file()][-1].read_text("utf-8")
        return cls(texts)


class Writer:
    """A language model behind HTTP.

    Each call ends with the current request's deadline, which the model's server is told as well.
    Nothing is tried twice: a second attempt would write other words than those already sent on.
    """

    def __init__(self, client: AsyncOpenAI, settings: Settings, prompts: Prompts) -> None:
        self._client = client
        self._model = settings.llm_model
        self._max_tokens = settings.llm_max_tokens
        self.prompts = prompts

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> "AsyncGenerator[Writer | None]":
        """Open the client, or nothing when no `llm_url` is set."""
        if not settings.llm_url:
            yield None
            return
        prompts = await to_thread.run_sync(Prompts.load, settings.prompts_dir)
        # In a thread, for it reads certificates.
        client = await to_thread.run_sync(_client, settings)
        async with client:
            yield cls(client, settings, prompts)

    async def note(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return a short text."""
        pieces = [piece async for piece in self.stream(messages, max_tokens=MAX_NOTE_TOKENS)]
        return "".join(pieces).strip()

    async def stream(
        self, messages: Sequence[Mapping[str, str]], *, max_tokens: int | None = None
    ) -> AsyncGenerator[str]:
        """Yield the answer as it is written; raises UpstreamFailed, Overloaded, DeadlineExceeded."""
        sent: Any = list(messages)
        try:
            events = await self._client.chat.completions.create(
                model=self._model,
                messages=sent,
                stream=True,
                temperature=0,
                max_tokens=max_tokens or self._max_tokens,
                timeout=_timeout(),
                extra_headers={**logs.current_ids(), **deadline.outgoing_headers()},
            )
            async with events:
                async for event in events:
                    if event.choices and (text := event.choices[0].delta.content):
                        yield text
        except openai.OpenAIError as error:
            raise _translated(error) from error


def _client(settings: Settings) -> AsyncOpenAI:
    key = settings.llm_api_key.get_secret_value() if settings.llm_api_key else "none"
    return AsyncOpenAI(base_url=settings.llm_url, api_key=key, max_retries=0)


def _timeout() -> openai.Timeout:
    limit = deadline.current()
    left = min(limit.remaining_seconds, LONGEST_SECONDS) if limit else LONGEST_SECONDS
    return openai.Timeout(max(0.001, left), connect=min(max(0.001, left), CONNECT_SECONDS))


def _translated(error: openai.OpenAIError) -> ServiceError:
    """Name the language model in an error of ours."""
    if isinstance(error, openai.APITimeoutError):
        return DeadlineExceeded("The language model did not answer in time.")
    if isinstance(error, openai.APIConnectionError):
        return UpstreamFailed("The language model cannot be reached.")
    if isinstance(error, openai.RateLimitError):
        stated = error.response.headers.get("retry-after", "")
        seconds = float(stated) if stated.replace(".", "", 1).isdigit() else DEFAULT_RETRY_SECONDS
        return Overloaded("The language model is busy.", retry_after_seconds=seconds)
    if isinstance(error, openai.APIStatusError):
        return UpstreamFailed(f"The language model answered {error.status_code}.")
    return UpstreamFailed(f"The language model failed ({type(error).__name__}).")
