"""Tensors behind the JSON of a request, as the binary extension of the Open Inference Protocol has them.

Triton's clients send texts so unless told otherwise: the header says how long the JSON is, and each
text stands behind its length. Answers are always JSON, which those clients read as well.
"""

import json
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

JSON_LENGTH = "Inference-Header-Content-Length"
LENGTH = struct.Struct("<I")


class TensorRoute(APIRoute):
    """A route whose requests may carry tensors behind their JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Let the usual handler see JSON alone."""
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await handle(_TensorRequest(request.scope, request.receive))

        return read


class _TensorRequest(Request):
    def __init__(self, scope: Scope, receive: Receive) -> None:
        # Triton's clients name no type, and FastAPI reads JSON only where it is named.
        kept = [header for header in scope["headers"] if header[0] != b"content-type"]
        named = [*kept, (b"content-type", b"application/json")]
        super().__init__({**scope, "headers": named}, receive)

    async def body(self) -> bytes:
        whole = await super().body()
        stated = self.headers.get(JSON_LENGTH, "")
        return as_json(whole, int(stated)) if stated.isdecimal() else whole


def as_json(body: bytes, json_length: int) -> bytes:
    """Return the request with its texts inside the JSON."""
    try:
        request = json.loads(body[:json_length])
        behind = body[json_length:]
        for tensor in request["inputs"]:
            size = tensor.get("parameters", {}).pop("binary_data_size", None)
            if size is not None:
                tensor["data"], behind = texts(behind[:size]), behind[size:]
        return json.dumps(request).encode()
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        # FastAPI lets only its own exception type through while it reads a body.
        raise HTTPException(400, "The tensors behind the JSON cannot be read.") from None


def texts(tensor: bytes) -> list[str]:
    """Return the texts of a BYTES tensor."""
    found, at = [], 0
    while at < len(tensor):
        (size,) = LENGTH.unpack_from(tensor, at)
        at += LENGTH.size + size
        if at > len(tensor):
            raise ValueError("a text is shorter than its length")
        found.append(tensor[at - size : at].decode())
    return found
