"""One real Postgres for all tests of rag; each test has a tenant of its own."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.rag.postgres import Postgres


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """Return a folder that any user may enter and whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="rag-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the server runs as nobody
        yield folder


@pytest.fixture(scope="session")
def database_url(short_dir: Path) -> Iterator[str]:
    """Run one own server for the whole session."""
    server = Postgres(short_dir / "shared")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"
