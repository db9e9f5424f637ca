"""A VPC's instance metadata service, version 2: to each instance what it is, by the address that asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

ADDRESS = "169.254.169.254"
TOKEN = "AQAEAHn0DwAAAAAAAAAA"

Tree = Mapping[str, str]
"""Paths below /latest/ and their texts."""


class MetadataServer(ThreadingTCPServer):
    """``tree_of`` returns what the instance with an address may read; None for others."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, tree_of: Callable[[str], Tree | None]) -> None:
        self.tree_of = tree_of
        super().__init__((ADDRESS, 80), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: MetadataServer
    timeout = 10

    def do_PUT(self) -> None:
        if self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers:
            self._answer(200, TOKEN)
        else:
            self._answer(400, "")

    def do_GET(self) -> None:
        tree = self.server.tree_of(self.client_address[0])
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN or tree is None:
            self._answer(401, "")
            return
        found = read(tree, self.path.removeprefix("/latest/"))
        self._answer(404 if found is None else 200, found or "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silent."""


def read(tree: Tree, path: str) -> str | None:
    """A text, or the names in a folder, of which those of folders end in a slash."""
    if path in tree:
        return tree[path]
    folder = path.rstrip("/") + "/"
    below = [each.removeprefix(folder).partition("/") for each in tree if each.startswith(folder)]
    return "\n".join(sorted({name + slash for name, slash, _ in below})) or None
