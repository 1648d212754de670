"""A lease queue on Redis: nine short Lua scripts and the class that calls them."""

from services.imagegen.queue.connection import connect
from services.imagegen.queue.jobs import Jobs

__all__ = ["Jobs", "connect"]
