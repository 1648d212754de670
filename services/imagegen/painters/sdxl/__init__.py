"""Any SDXL, behind the engine that all painters share."""

from services.imagegen.painters.sdxl.load import Files, gather, load

__all__ = ["Files", "gather", "load"]
