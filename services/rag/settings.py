"""The knobs of this service: environment variables with the prefix RAG_."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.sessions import Precision
from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of the rag service."""

    model_config = SettingsConfigDict(env_prefix="RAG_")

    port: Annotated[int, Field(ge=0, le=65535)] = 8004
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 16 * 1024 * 1024
    """Largest accepted request body; it bounds an upload."""
    database_url: SecretStr | None = None
    """PostgreSQL with pgvector, e.g. `postgresql://user:secret@host/name`; empty: an own server."""
    database_connections: Annotated[int, Field(ge=2)] = 10
    """Most connections that this process opens."""
    data_dir: Path = Path("data/rag")
    """Folder of the own server's data, used when no `database_url` is set."""
    embedder: str = "embedded:minilm"
    """Reference of the sentence embedder."""
    embedder_precision: Literal["int8", "fp32"] = "int8"
    """Preferred ONNX graph of the embedder."""
    embedder_threads: Annotated[int, Field(ge=1)] = 1
    """Cores that one inference may use."""
    chunk_words: Annotated[int, Field(ge=20, le=400)] = 160
    """Most words of a chunk; 160 English words fill MiniLM's window of 256 tokens."""
    file_pages: Annotated[int, Field(ge=1)] = 2000
    """Most pages of a PDF."""
    file_seconds: Annotated[int, Field(ge=1, le=600)] = 60
    """Most time that reading one file may take."""
    ranker: str = "embedded:rag-ranker"
    """Reference of the learned ranker of hybrid search; empty: none."""
    reranker: str = ""
    """Reference of a cross-encoder that reads the best passages of each search; empty: none."""
    reranker_precision: Precision = "int8"
    """Preferred ONNX graph of the cross-encoder."""
    lease_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A document whose worker is silent for this long is taken up again."""
    qa_url: str = "http://127.0.0.1:8002"
    """Where the qa service listens."""
    dense_weights: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=lambda: {"en": 1.0, "es": 0.2, "ru": 0.1}
    )
    """What meaning counts beside words in hybrid search, by language; MiniLM knows English best."""
    passages: Annotated[int, Field(ge=1, le=20)] = 5
    """Passages in which `ask` looks for the answer."""
    answer_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability of an answer; below it `ask` says that it does not know."""
    llm_url: str = ""
    """OpenAI-compatible server that writes answers, ending in `/v1`; empty: sentences are quoted."""
    llm_model: str = "default"
    """Model of that server."""
    llm_api_key: SecretStr | None = None
    """Key of that server."""
    llm_max_tokens: Annotated[int, Field(ge=16, le=32_000)] = 600
    """Most tokens of a written answer."""
    prompts_dir: Path | None = None
    """Folder with `answer.txt`, `question.txt`, `rewrite.txt` or `summary.txt` in place of ours."""
    memory_turns: Annotated[int, Field(ge=1, le=50)] = 6
    """Newest turns of a conversation that a follow-up question is understood by."""
    conversation_days: Annotated[float, Field(gt=0)] = 30.0
    """After so many days without a question a conversation is gone."""
