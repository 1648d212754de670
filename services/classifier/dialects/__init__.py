"""Other systems' words for the native endpoints, so that their clients work here unchanged."""

from kit import dialects
from services.classifier.dialects import huggingface, oip, tei

ROUTERS = (huggingface.router, tei.router, oip.router)
ERROR_SHAPES = {"/hf": dialects.huggingface, "/predict": dialects.tei, "/v2": dialects.oip}
