"""The strict EC2 behind a real HTTP port, so that botocore's parsing, retries and sockets take part."""

from __future__ import annotations

import functools
import re
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from . import wire
from .calls import Call
from .clients import Lent, give_back, lend
from .errors import EC2Error
from .faults import Drop, Faults, Reply
from .iam import Account, Policy, refuse_unless_allowed
from .trail import lookup_events
from .world import World

STRANGER = "AKIAI44QH8DHBEXAMPLE"
"""The access key of the clients that `EC2Server.client` makes."""


@functools.cache
def _session() -> boto3.session.Session:
    """Models are read once for all tests of a process."""
    return boto3.session.Session(
        aws_access_key_id=STRANGER, aws_secret_access_key="not-a-secret", region_name="us-east-1"
    )


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads a request, lets the faults have their say, asks the world, answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Listener

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            # The client ended in the middle of its request: EC2 never sees such a one.
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.owner.answer(headers, body)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content_type, content, request_id = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-amzn-RequestId", request_id)
        for name, value in self.server.owner.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silent: a test reads `EC2Server.calls` instead."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, owner: EC2Server, port: int) -> None:
        self.owner = owner
        self.open: set[socket.socket] = set()
        self.idle = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        with self.idle:
            self.open.add(connection)
        return connection, peer

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.idle:
            self.open.discard(request)
            self.idle.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away mid-answer is weather here; anything else is a bug and is kept."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, (ConnectionError, OSError)):
            self.owner.crashes.append(error)

    def close_all(self) -> None:
        """Ends every kept-alive connection and waits for its thread to have closed it."""
        with self.idle:
            for connection in self.open:
                # The client may have gone first; then there is nothing left to shut.
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            self.idle.wait_for(lambda: not self.open, timeout=5)
        self.server_close()


class EC2Server:
    """A context manager: inside it, `url` answers as EC2, STS, SSM, KMS and CloudTrail for one world."""

    def __init__(self, world: World | None = None, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.world = world or World()
        self.faults = Faults(self.world)
        self.calls: list[Call] = []
        self.policies: dict[str, Policy] = {}
        """What IAM allows, by access key; a key without a policy may do everything."""
        self.headers: list[tuple[str, str]] = []
        """Sent with every answer besides EC2's own."""
        self.people = {STRANGER: "alice"}
        """Names of users by access key, for CloudTrail."""
        self.crashes: list[BaseException] = []
        """What went wrong in the server itself; leaving the context raises the first one."""
        self._port, self._tls = port, tls
        self._lock = threading.Lock()
        self._lent: list[Lent] = []
        self._before: list[Call] = []
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self._requests = 0

    def __enter__(self) -> Self:
        self._listener = _Listener(self, self._port)
        if self._tls:
            # Each connection shakes hands in its own thread, when it is first read from.
            self._listener.socket = self._tls.wrap_socket(
                self._listener.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        assert self._thread is not None
        while self._lent:
            give_back(self._lent.pop())
        self._listener.shutdown()
        self._thread.join()
        self._listener.close_all()
        self._listener = None
        if self.crashes and error is None:
            raise self.crashes[0]
        for crash in self.crashes:
            assert error is not None
            error.add_note(f"The strict EC2 itself failed: {crash!r}")

    @property
    def url(self) -> str:
        assert self._listener is not None, "the server is not running"
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self._listener.server_address[1]}"

    def client(self, service: str = "ec2", **config: Any) -> Any:
        """A real boto3 client for this server that never retries by itself unless `config` says so."""
        options: dict[str, Any] = {
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": 64,
            "connect_timeout": 5,
            "read_timeout": 30,
            **config,
        }
        region = self.world.settings.region

        def make() -> Any:
            return _session().client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.url,
                region_name=region,
                config=Config(**options),
            )

        lent = lend((service, region, repr(sorted(options.items()))), self.url, make)
        self._lent.append(lent)
        return lent.client

    def mutating(self) -> list[Call]:
        """The calls that could have changed something, in order of arrival."""
        return [call for call in self.calls if call.mutates]

    def actions(self, *, mutating: bool = False) -> list[str]:
        return [call.action for call in (self.mutating() if mutating else self.calls)]

    def clear(self) -> None:
        """Forgets the calls so far; CloudTrail does not."""
        with self._lock:
            self._before += [call for call in self.calls if call.mutates]
            self.calls.clear()

    # -- answering -----------------------------------------------------------------------------------

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes, str] | None:
        """Status, content type, body and request id; None is a dropped connection."""
        request_id = self._request_id()
        service = wire.service_of(headers, body)
        call = Call(
            action=_action_of(headers, body),
            params={},
            time=self.world.clock(),
            user_agent=headers.get("user-agent", ""),
            service=service,
            request_id=request_id,
            access_key=_scope_of(headers)[0],
            region=_scope_of(headers)[1],
        )
        with self._lock:
            self.calls.append(call)
        try:
            request = wire.parse(service, headers, body)
            call.params = request.params
            self.faults.before(call)
            result = self._perform(request, call)
            call.acted = True
            call.answer = result if call.mutates else None
            self.faults.after(call)
            content_type, content = wire.render(request, result, request_id)
            content = self.faults.rewritten(call, content)
        except Reply as reply:
            return reply.status, reply.content_type, reply.body, request_id
        except EC2Error as error:
            call.error_code = error.code
            content_type, content = wire.render_error(service, error, request_id)
            return error.http_status, content_type, content, request_id
        except Drop:
            call.dropped = True
            return None
        return 200, content_type, content, request_id

    def _perform(self, request: wire.Request, call: Call) -> dict[str, Any]:
        if policy := self.policies.get(call.access_key):
            with self.world.lock:
                self.world.settle()
                account = Account(self.world.data, self.world.settings)
                refuse_unless_allowed(policy, account, request.service, request.action, request.params)
        if request.service == "ec2":
            return self.world.perform(request.action, request.params, call.as_of)
        if request.service == "sts":
            return self.world.sts(request.action, request.params, call.access_key)
        if request.service == "cloudtrail":
            with self._lock:
                calls = [*self._before, *self.calls]
            owner = self.world.settings.account_id
            return lookup_events(calls, request.params, self.people, owner, self.world.date)
        return getattr(self.world, request.service)(request.action, request.params)  # type: ignore[no-any-return]

    def _request_id(self) -> str:
        with self._lock:
            self._requests += 1
            return f"00000000-0000-4000-8000-{self._requests:012x}"


def _scope_of(headers: dict[str, str]) -> tuple[str, str]:
    """Whose signature it is, and for which Region."""
    found = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/", headers.get("authorization", ""))
    return (found[1], found[2]) if found else ("", "")


def _action_of(headers: dict[str, str], body: bytes) -> str:
    """The action's name even of a request that turns out to be unreadable."""
    if target := headers.get("x-amz-target"):
        return target.rpartition(".")[2]
    found = re.search(rb"(?:^|&)Action=([A-Za-z0-9]+)", body)
    return found[1].decode() if found else ""
