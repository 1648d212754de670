"""The rag service with a quick embedder, as a process that may be killed at any moment."""

from fastapi import FastAPI

from services.rag import app
from tests.rag.support import HashEmbedder


def create_app() -> FastAPI:
    """Build it from the environment."""
    return app.create_app(embedder=HashEmbedder())
