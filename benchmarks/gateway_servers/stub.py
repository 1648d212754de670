"""The service behind every proxy: answers at once, or streams events with the moment of each.

python stub.py PORT
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvicorn

EVENTS = 20
PAUSE_SECONDS = 0.005
ANSWER = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ok"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


def chunk(text: str, reason: str | None = None) -> bytes:
    """Return one event as OpenAI's clients and proxies read it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    kind = "chat.completion.chunk"
    data = {"id": "c", "object": kind, "created": 1, "model": "stub", "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request."""
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    is_stream = b'"stream": true' in parts[-1] or b'"stream":true' in parts[-1]
    kind = b"text/event-stream" if is_stream else b"application/json"
    headers = [(b"content-type", kind)]
    if not is_stream:
        headers.append((b"content-length", str(len(ANSWER)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if not is_stream:
        await send({"type": "http.response.body", "body": ANSWER})
        return
    for _ in range(EVENTS):
        await asyncio.sleep(PAUSE_SECONDS)
        moment = chunk(f"{time.monotonic()} ")
        await send({"type": "http.response.body", "body": moment, "more_body": True})
    end = chunk("", "stop") + b"data: [DONE]\n\n"
    await send({"type": "http.response.body", "body": end})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="off",
        access_log=False,
        timeout_keep_alive=75,
    )
