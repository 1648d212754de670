"""Bytes to a service and back, over aiohttp: its parser and pool cost a third of httpx2's own."""

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import aiohttp
import httpx2
from multidict import CIMultiDict
from yarl import URL

MAX_CONNECTIONS = 1024
KEEP_SECONDS = 5.0  # services keep theirs 75 s: who closes first sees no reset
LEAVE_TO_US = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})
ERRORS = MappingProxyType(
    {
        aiohttp.ConnectionTimeoutError: httpx2.ConnectTimeout,
        aiohttp.ServerTimeoutError: httpx2.ReadTimeout,
        aiohttp.ClientConnectorError: httpx2.ConnectError,
        aiohttp.ServerDisconnectedError: httpx2.RemoteProtocolError,
        aiohttp.ClientPayloadError: httpx2.RemoteProtocolError,
        aiohttp.ClientResponseError: httpx2.RemoteProtocolError,
        aiohttp.ClientError: httpx2.ReadError,
        TimeoutError: httpx2.ReadTimeout,
        OSError: httpx2.ReadError,
    }
)
"""Theirs, the most special first, and what our clients know them as."""


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends a request and streams its answer; nothing is followed, decoded, kept or repeated."""

    def __init__(self, *, verify: bool) -> None:
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer with its body still to come."""
        timeout = request.extensions.get("timeout", {})
        upload = _Upload(request.stream)
        try:
            answer = await self._opened().request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=CIMultiDict(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers.raw
                    if name.lower() != b"transfer-encoding"  # theirs to choose: chunked or not
                ),
                data=upload.data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                ),
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise upload.error or _translated(error, request) from error
        return httpx2.Response(
            answer.status,
            headers=list(answer.raw_headers),
            stream=_Download(answer, request),
            request=request,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_SECONDS, ssl=self._verify
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=LEAVE_TO_US,
            )
            self._session._retry_connection = False
        return self._session


class _Upload:
    """The body to send; what fails in it is our side's failure, and stays itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: Exception | None = None
        self.data: Any = self._parts()
        if isinstance(stream, httpx2.ByteStream):
            self.data = b"".join(stream) or None

    async def _parts(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except Exception as error:
            self.error = error
            raise


class _Download(httpx2.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse, request: httpx2.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.content.iter_any():
                yield part
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        """Give the connection back, or close it when something is left to read."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


def _translated(error: Exception, request: httpx2.Request) -> httpx2.TransportError:
    known = next(ours for theirs, ours in ERRORS.items() if isinstance(error, theirs))
    return known(str(error) or type(error).__name__, request=request)
