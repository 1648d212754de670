"""Any SDXL, behind the engine that all painters share."""

from services.imagegen.painters.sdxl.load import load

__all__ = ["load"]
