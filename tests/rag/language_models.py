"""A scripted OpenAI-shaped server on a real port: it says what a test wants and notes what it heard."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Say = Callable[[list[dict[str, str]]], str | int]
"""Returns the words for some messages, or an error's status."""


class Scripted:
    """What the server was asked, and where it is."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()
        self.pause = 0.0
        self.url = ""

    @property
    def prompts(self) -> list[str]:
        """Return the texts of all messages."""
        return [message["content"] for body in self.bodies for message in body["messages"]]


@contextmanager
def scripted(say: Say) -> Iterator[Scripted]:
    """Serve until the block ends."""
    model = Scripted(say)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.bodies.append(body)
            model.headers.append({name.lower(): value for name, value in self.headers.items()})
            said = model.say(body["messages"])
            if isinstance(said, int):
                self._send(said, "application/json", [b'{"error": {"message": "no"}}'])
                return
            words = [piece + " " for piece in said.split(" ")]
            self._send(200, "text/event-stream", [*map(self._event, words), b"data: [DONE]\n\n"])

        def _event(self, text: str) -> bytes:
            chunk = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "scripted",
                "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
            }
            return f"data: {json.dumps(chunk)}\n\n".encode()

        def _send(self, status: int, kind: str, parts: list[bytes]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 429:
                self.send_header("Retry-After", "7")
            self.end_headers()
            try:
                for part in parts:
                    self.wfile.write(part)
                    self.wfile.flush()
                    time.sleep(model.pause)
            except OSError:
                model.hung_up.set()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
