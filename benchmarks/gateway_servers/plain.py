"""What most people would write: FastAPI and httpx2, both bodies read whole.

python plain.py PORT UPSTREAM
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse


@asynccontextmanager
async def life(app: FastAPI) -> AsyncGenerator[None]:
    """Keep one pool of connections."""
    limits = httpx2.Limits(max_connections=1024, max_keepalive_connections=64)
    async with httpx2.AsyncClient(base_url=sys.argv[2], limits=limits, trust_env=False) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=life)


@app.post("/{path:path}")
async def forward(path: str, request: Request) -> Response:
    """Send the request on and return the answer."""
    client: httpx2.AsyncClient = request.app.state.client
    kept = {n: v for n, v in request.headers.items() if n not in ("host", "content-length")}
    body = await request.body()
    sent = client.build_request("POST", f"/{path}", content=body, headers=kept)
    answer = await client.send(sent, stream=True)
    kind = answer.headers["content-type"]
    if kind.startswith("text/event-stream"):
        return StreamingResponse(answer.aiter_raw(), media_type=kind)
    content = await answer.aread()
    await answer.aclose()
    return Response(content, answer.status_code, media_type=kind)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
