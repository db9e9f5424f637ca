"""Ask one address once, as a check says: connect, and for http and https request a page.

Of a page, the first MiB is read. Redirects are not followed and no proxy is used: a check asks the address itself.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import io
import os
import re
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias, cast

from enireconcile import __version__
from enireconcile.probing.answer import Answer
from enireconcile.spec import Check, WebProbe
from enireconcile.spec.places import shown

PATIENCE = 5.0
"""Seconds within which there must be an answer, else there is silence. Linux sends three SYNs in this time."""
_LONGEST_BODY = 1024 * 1024
_CHUNK = 65536
_INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d[ \r]")
"""The start of an answer before the final one. After 101, which was not asked for, no HTTP follows."""

Ask: TypeAlias = Callable[[Check, str, float], Coroutine[Any, Any, Answer]]
"""``ask``: a check, an address and a patience in seconds to an answer."""


async def ask(check: Check, address: str, patience: float = PATIENCE) -> Answer:
    """One attempt, which takes at most ``patience`` seconds."""
    connected = False
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(address, check.port)
            connected = True
            with _closed(writer):
                return await _page(check, address, reader, writer) if check.web is not None else Answer("open")
    except TimeoutError:
        return Answer("open", f"no HTTP answer within {round(patience, 1):g} s") if connected else Answer("silent")
    except ssl.SSLError as error:
        return Answer("open", f"TLS: {_of_tls(error)}")
    except ConnectionRefusedError:
        return Answer("refused")
    except (OSError, http.client.HTTPException) as error:
        return _broken(error) if connected else _unreachable(cast(OSError, error))


def source_to(address: str, port: int) -> str | None:
    """The address of this machine from which it would send to another one; None without a route. Sends nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect((address, port))
        return str(probe.getsockname()[0])
    return None


@contextmanager
def _closed(writer: asyncio.StreamWriter) -> Iterator[None]:
    """Close the connection at once afterwards: to wait for the other side could take forever."""
    try:
        yield
    finally:
        writer.transport.abort()


def _unreachable(error: OSError) -> Answer:
    """A router, or this machine itself, says that there is no way. What filters silently is a timeout instead."""
    if error.errno == errno.ETIMEDOUT:
        return Answer("silent")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Answer("unreachable", f"unreachable: {reason}")


def _broken(error: Exception) -> Answer:
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return Answer("open", "not an HTTP answer")
    return Answer("open", "the connection was closed without an HTTP answer")


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not valid: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()


# ---- HTTP


async def _page(check: Check, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    """Request the page, and judge what comes back."""
    web = cast(WebProbe, check.web)
    if check.https is not None:
        await writer.start_tls(_tls(web), server_hostname=web.host)
    writer.write(_request(web, address, check.port, tls=check.https is not None))
    response = http.client.HTTPResponse(cast(socket.socket, _Received(await _received(reader))), method="GET")
    response.begin()
    with suppress(http.client.IncompleteRead):
        return Answer("open", _judged(web, response.status, response.read(_LONGEST_BODY)))
    return Answer("open", "the connection was closed in the middle of the answer")


def _tls(web: WebProbe) -> ssl.SSLContext:
    """A certificate names hosts, so without one there is nothing to verify."""
    context = ssl.create_default_context()
    if web.host is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _request(web: WebProbe, address: str, port: int, *, tls: bool) -> bytes:
    host = web.host or (f"[{address}]" if ":" in address else address)
    shown = host if port == (443 if tls else 80) else f"{host}:{port}"
    lines = (
        f"GET {web.path} HTTP/1.1",
        f"Host: {shown}",
        f"User-Agent: enireconcile/{__version__}",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _received(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection is closed, the answer is complete, or it is long enough."""
    received = b""
    while len(received) < _LONGEST_BODY + _CHUNK:
        part = await reader.read(_CHUNK)
        received += part
        if not part or _is_complete(_final(received)):
            break
    return _final(received)


def _final(received: bytes) -> bytes:
    """The answer after those that only announce it, such as 103 Early Hints."""
    while _INTERIM.match(received):
        received = received.partition(b"\r\n\r\n")[2]
    return received


def _is_complete(received: bytes) -> bool:
    """Whether an answer that says how long it is has come whole. Some servers keep the connection open."""
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    first, _, rest = head.partition(b"\r\n")
    if first.split(b" ")[1:2] in ([b"204"], [b"304"]):
        return True
    headers = http.client.parse_headers(io.BytesIO(rest + b"\r\n\r\n"))
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return body.endswith(b"0\r\n\r\n")
    with suppress(ValueError):
        # Not a number, or too long for one: as for http.client, the answer ends with the connection.
        return 0 <= int(headers.get("Content-Length", "")) <= len(body)
    return False


class _Received:
    """Bytes that http.client reads as if from a socket."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._received)


def _judged(web: WebProbe, status: int, body: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    right = status == web.status if web.status is not None else 200 <= status <= 399
    if not right:
        return f"status {status}"
    if web.contains is not None and web.contains.encode() not in body:
        return f"status {status} without {shown(web.contains)}"
    return ""
