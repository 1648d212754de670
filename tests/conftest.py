"""Fixtures that every folder of tests may use."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from local import redis
from services.rag.postgres import Postgres
from tests.running import RunningStack, whole_stack


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, as the services run."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log tracebacks without structlog's rich rendering, which blocks the watched event loop."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one real redis-server for the whole session."""
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis.on_socket(folder) as url:
        yield url


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """Return a folder that any user may enter and whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="rag-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the server runs as nobody
        yield folder


@pytest.fixture(scope="session")
def database_url(short_dir: Path) -> Iterator[str]:
    """Run one real Postgres for the whole session."""
    server = Postgres(short_dir / "shared")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Run every service as a process of its own, once for the whole session."""
    with whole_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
