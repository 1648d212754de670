"""A lease queue on Redis: short Lua scripts and the classes that call them."""

from services.imagegen.queue.connection import connect
from services.imagegen.queue.dead import DeadLetters
from services.imagegen.queue.jobs import Jobs

__all__ = ["DeadLetters", "Jobs", "connect"]
