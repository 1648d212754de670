"""Each test of rag has a tenant of its own."""

import uuid

import pytest


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"
