"""Other systems' words for embedding and reranking, so that their clients work here unchanged."""

from kit import dialects
from services.rag.dialects import huggingface, openai, tei

ROUTERS = (openai.router, tei.router, huggingface.router)
ERROR_SHAPES = {
    "/v1/embeddings": dialects.openai,
    "/embed": dialects.tei,
    "/rerank": dialects.tei,
    "/similarity": dialects.tei,
    "/hf": dialects.huggingface,
}
