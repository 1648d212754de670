"""Each test of rag has a tenant of its own."""

import uuid
from collections.abc import AsyncGenerator

import httpx2
import pytest

from services.rag.database import opened
from tests.rag.support import ANSWERS, rag


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def fresh_url(database_url: str) -> AsyncGenerator[str]:
    """Return an empty database on the session's server."""
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    async with opened(database_url, connections=1) as server, server.connection() as connection:
        await connection.execute(f"create database {name}")
        yield database_url.replace("/postgres?", f"/{name}?")
        await connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
async def service(database_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run one service for all of a module's tests that need nothing special of it."""
    async with rag(database_url, "nobody", answers=ANSWERS) as client:
        yield client


@pytest.fixture
def client(service: httpx2.AsyncClient, tenant: str) -> httpx2.AsyncClient:
    """Call the module's service as a tenant that nobody was before."""
    service.headers["X-Tenant"] = tenant
    return service


@pytest.fixture(scope="module")
async def empty(database_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run one service for a module's tests that store nothing in its collection `docs`."""
    async with rag(database_url, f"empty-{uuid.uuid4().hex[:12]}") as client:
        await client.put("/v1/collections/docs")
        yield client
