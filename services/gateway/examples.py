"""One example for each request of the merged document whose service publishes none."""

from typing import Any

REQUESTS: dict[tuple[str, str], Any] = {
    ("post", "/v1/classify"): {"texts": ["Thank you so much, this made my day!"]},
    ("post", "/v1/zero-shot"): {
        "texts": ["My card was charged twice."],
        "labels": ["payment", "delivery", "account"],
    },
    ("post", "/v1/answer"): {
        "question": "When was the bridge built?",
        "context": "The bridge was built in 1894 and widened in 1931.",
    },
    ("post", "/v1/images"): {"prompt": "a red circle above a blue square", "seed": 7},
    ("post", "/v1/blends"): {
        "sources": [
            {"text": "a red circle", "weight": 0.3},
            {"text": "a blue square", "weight": 0.7},
        ],
        "seed": 7,
    },
    ("put", "/v1/collections/{name}"): {"description": "What our customers ask"},
    ("post", "/v1/collections/{name}/documents"): {
        "documents": [
            {"id": "bridge", "title": "Bridge", "text": "The bridge was built in 1894."},
        ]
    },
    ("post", "/v1/collections/{name}/search"): {"query": "age of the bridge", "k": 3},
    ("post", "/v1/collections/{name}/ask"): {"question": "When was the bridge built?"},
    ("post", "/v1/embeddings"): {"input": ["How old is the bridge?"], "model": "default"},
    ("post", "/embed"): {"inputs": ["How old is the bridge?"]},
    ("post", "/rerank"): {
        "query": "How old is the bridge?",
        "texts": ["The bridge was built in 1894.", "The river is long."],
    },
    ("post", "/similarity"): {
        "inputs": {"source_sentence": "an old bridge", "sentences": ["a bridge of 1894"]}
    },
}


def add(method: str, path: str, operation: dict[str, Any]) -> None:
    """Give an operation's JSON body its example, if it has none of its own."""
    example = REQUESTS.get((method, path))
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if example is not None and content is not None and "examples" not in content:
        content.setdefault("example", example)
