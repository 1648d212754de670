"""What OpenAI's clients send to the gateway itself, and what they read."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class Open(BaseModel):
    """Keeps fields that it does not know: clients send many that only some servers read."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class Turn(Open):
    """One message; its content is a text, or parts with `text` and `image_url`."""

    role: Annotated[str, Field(min_length=1)]
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(Open):
    """A conversation to go on with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "switchboard",
                    "messages": [{"role": "user", "content": "draw a red circle"}],
                }
            ]
        }
    )

    messages: Annotated[list[Turn], Field(min_length=1)]
    model: str = "switchboard"
    """`switchboard` understands the last message and has it done; any other name is the language
    model's, and the request goes there unread."""
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    collection: str | None = None
    """Collection of the knowledge base to ask."""
    conversation_id: str | None = None
    """Conversation with the knowledge base to go on with; an answer's message carries its own."""


class Usage(BaseModel):
    """Tokens of the language model; 0 where none was asked."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Answered(Open):
    """The assistant's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    images: list[dict[str, Any]] | None = None
    """Painted pictures as `image_url` parts with `data:` URLs."""
    citations: list[dict[str, Any]] | None = None
    """Where in the knowledge base the answer stands."""
    conversation_id: str | None = None


class ChatChoice(BaseModel):
    """The one answer."""

    index: int = 0
    message: Answered
    finish_reason: str = "stop"
    logprobs: None = None


class ChatCompletion(Open):
    """An answer in OpenAI's shape; `switchboard` says what was understood."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    switchboard: dict[str, Any] | None = None


class Model(Open):
    """One model that may be named."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "switchboard"


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class ImagesRequest(Open):
    """A picture from words; `negative_prompt`, `seed`, `steps` and the like go to the painter."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "a red circle", "size": "512x512", "n": 1}]}
    )

    prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)
    ]
    model: str | None = None
    """Any name: one painter serves them all."""
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    size: Annotated[str, Field(pattern=r"^(auto|\d{2,4}x\d{2,4})$")] | None = None
    """`WIDTHxHEIGHT` in pixels, multiples of 8, or `auto`."""
    response_format: Literal["url", "b64_json"] | None = None
    """`b64_json` unless told otherwise; a `url` is fetched with the same key."""
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    output_format: Literal["png"] | None = None
    quality: str | None = None
    """Taken and not used, as are `style`, `background`, `moderation` and `user`."""
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    output_compression: int | None = None
    user: str | None = None


class Image(BaseModel):
    """One picture."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class ImagesAnswer(BaseModel):
    """The pictures."""

    created: int
    data: list[Image]
    output_format: Literal["png"] = "png"
    size: str | None = None
