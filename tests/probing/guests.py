"""What plays the guest: servers on loopback addresses that serve a page, say nothing, or are full."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<h1>Testing ENI</h1>"


class _Handler(BaseHTTPRequestHandler):
    """``/`` is the page, ``/chunked`` the same in chunks, ``/name`` the Host header, ``/empty`` no body at all.

    Connections stay open, whatever the request asks for.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (4, PAGE[:4], len(PAGE) - 4, PAGE[4:]))
            return
        if self.path == "/empty":
            self.send_response(204)
            self.end_headers()
            self.close_connection = False
            return
        status = {"/moved": 302, "/gone": 410, "/": 200, "/name": 200}.get(self.path, 404)
        body = self.headers.get("Host", "").encode() if self.path == "/name" else PAGE
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No lines on stderr."""


@contextmanager
def web(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a web server."""
    with ThreadingHTTPServer((host, 0), _Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def sending(answer: bytes, host: str = "127.0.0.1", *, keep: bool = False) -> Iterator[int]:
    """The port of a server that sends these bytes to whatever it gets, and closes the connection.

    With ``keep``, it waits for the other side to close it.
    """
    with socket.create_server((host, 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                if keep:
                    with suppress(ConnectionResetError):
                        connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(5)


@contextmanager
def mute(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """The port of a server that accepts connections, and never says anything."""
    with socket.create_server((host, port)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def full(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that does not answer a SYN, as one that no security group opens: its queue is full."""
    with socket.create_server((host, 0), backlog=0) as listening, ExitStack() as held:
        port = listening.getsockname()[1]
        for _ in range(8):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield port


def shut(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens."""
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])
