"""A strict S3: a few objects behind a real HTTP port, with conditional writes and a clock of its own.

From the S3 user guide ("Conditional write behavior") and the API reference of PutObject and GetObject:

- ``If-None-Match: *`` on a key that exists answers 412 PreconditionFailed;
- ``If-Match`` with another ETag answers 412, on a key that does not exist 404 NoSuchKey;
- of two writes at the same moment one may be answered 409 ConditionalRequestConflict, and is to be repeated;
- reads come after writes; an ETag is the MD5 of what was written; times are told in whole seconds.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

BUCKET = "state"


@dataclass(frozen=True)
class Object:
    body: bytes
    etag: str
    modified: float


@dataclass(frozen=True)
class Request:
    """``key`` is without the bucket."""

    method: str
    key: str
    body: bytes
    headers: Mapping[str, str]


class Refuse(Exception):
    """Raised by a hook: the answer is this error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Drop(Exception):
    """Raised by a hook: the connection is cut without an answer."""


Hook = Callable[[Request], object]
Headers = Callable[[str, list[tuple[str, str]]], list[tuple[str, str]]]
"""What is sent for the headers of an answer, by method."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        self._answer("GET")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        bucket, _, key = self.path.partition("?")[0].lstrip("/").partition("/")
        ignored = self.server.owner.ignored
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in ignored}
        try:
            status, more, content = self.server.owner.answer(bucket, Request(method, key, body, headers))
        except Drop:
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in self.server.owner.headers(method, list(more.items())):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silent."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: S3Server) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)


class Clock:
    """S3's, and that of the hosts: they agree on how fast time goes and on nothing else."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class S3Server:
    """A context manager: inside it, ``url`` answers as S3. ``before`` and ``after`` are hooks around the deed."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.objects: dict[str, Object] = {}
        self.requests: list[Request] = []
        self.ignored: frozenset[str] = frozenset()
        """Headers, in lower case, that this service does not know: it is one of those that only resemble S3."""
        self.before: Hook = lambda _: None
        self.after: Hook = lambda _: None
        self.headers: Headers = lambda _, headers: headers
        self.changed = threading.Condition()

    def __enter__(self) -> Self:
        self._listener = _Listener(self)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def json(self, key: str) -> Any:
        return json.loads(self.objects[key].body)

    def lines(self, key: str) -> list[Any]:
        return [json.loads(line) for line in self.objects[key].body.splitlines()]

    def puts(self, end: str) -> list[Request]:
        """The writes to keys that end like this."""
        return [request for request in self.requests if request.method == "PUT" and request.key.endswith(end)]

    def answer(self, bucket: str, request: Request) -> tuple[int, dict[str, str], bytes]:
        try:
            if bucket != BUCKET:
                raise Refuse(404, "NoSuchBucket")
            self.before(request)
            with self.changed:
                self.requests.append(request)
                answer = self._get(request) if request.method == "GET" else self._put(request)
                self.changed.notify_all()
            self.after(request)
        except Refuse as refusal:
            text = f"<Error><Code>{refusal.code}</Code><Message>no</Message><RequestId>1</RequestId></Error>"
            return refusal.status, {"Date": self._date(self.clock())}, text.encode()
        return answer

    def _get(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.objects.get(request.key)
        if found is None:
            raise Refuse(404, "NoSuchKey")
        headers = {"ETag": found.etag, "Last-Modified": self._date(found.modified)}
        return 200, {**headers, "Date": self._date(self.clock())}, found.body

    def _put(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        found = self.objects.get(request.key)
        if request.headers.get("if-none-match") == "*" and found is not None:
            raise Refuse(412, "PreconditionFailed")
        wanted = request.headers.get("if-match")
        if wanted is not None and found is None:
            raise Refuse(404, "NoSuchKey")
        if wanted is not None and found is not None and found.etag != wanted:
            raise Refuse(412, "PreconditionFailed")
        etag = f'"{hashlib.md5(request.body, usedforsecurity=False).hexdigest()}"'
        self.objects[request.key] = Object(request.body, etag, self.clock())
        return 200, {"ETag": etag, "Date": self._date(self.clock())}, b""

    def _date(self, seconds: float) -> str:
        return formatdate(int(seconds), usegmt=True)
