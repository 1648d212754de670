"""Kandinsky 2.2, behind the engine that all painters share."""

from services.imagegen.painters.kandinsky.load import load

__all__ = ["load"]
