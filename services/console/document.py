"""The page's document on its way out: what Gradio's template gets wrong for us is put right."""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio's template asks for a manifest at the root of the host, which is not ours, and speaks of
# itself to those who share the address.
UNWANTED = re.compile(
    rb'<link rel="manifest"[^>]*>|<meta\s+(?:property|name)="(?:og|twitter):[^>]*>'
)
# Without one, a browser asks the root of the host for it.
ICON = (
    b'<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=\'http://www.w3.org/2000/svg\' viewBox='
    b"'0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%230d9488'/%3E%3Cpath d='M4 8h8M9 5l3 3-3 3' "
    b"stroke='white' stroke-width='1.6' fill='none'/%3E%3C/svg%3E\"></head>"
)
# The browser itself holds the promise that no other host is called. Gradio's templates are compiled
# in the page, hence 'unsafe-eval'; its styles and our script stand in the document.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; media-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class OwnDocument:
    """Changes the answers for one path, the page itself; everything else passes unread."""

    def __init__(self, app: ASGIApp, *, path: str) -> None:
        self.app = app
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != self.path:
            await self.app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, _Changed(send))


class _Changed:
    """Holds the document until it is complete, as its length changes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = MutableHeaders(raw=list(self._start["headers"]))
        if headers.get("content-type", "").startswith("text/html"):
            self._body = UNWANTED.sub(b"", self._body).replace(b"</head>", ICON, 1)
            headers["content-length"] = str(len(self._body))
            headers["content-security-policy"] = POLICY
            headers["referrer-policy"] = "same-origin"
            headers["x-content-type-options"] = "nosniff"
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": self._body})
