"""A network namespace: commands in it, and sockets in it that this process holds."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import http.client
import itertools
import os
import selectors
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

PATIENCE = 5.0
"""Real seconds for an answer that should come."""
SILENCE = 0.7
"""Real seconds after which an answer that should not come has not come."""
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_IFF_RUNNING = 0x40
_RTMGRP_LINK = 1
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@functools.cache
def why_not() -> str | None:
    """What is missing for namespaces of our own; None if nothing is."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    name = unique("try")
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if tried.returncode:
        return f"network namespaces cannot be made here: {tried.stderr.strip()}"
    rules = "table ip t { chain c { type filter hook forward priority 0; }; }"
    try:
        tried = subprocess.run(
            ["ip", "netns", "exec", name, "nft", "-f", "-"],
            input=rules,
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    return f"nftables cannot be used here: {tried.stderr.strip()}" if tried.returncode else None


def unique(name: str) -> str:
    """A name for a namespace that no other process, and no other test, uses."""
    return f"eni-{os.getpid()}-{next(_numbers)}-{name}"


class Namespace:
    """A context manager. All that it serves ends with it."""

    def __init__(self, label: str) -> None:
        self.namespace = unique(label)
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        _told(["ip", "netns", "add", self.namespace])
        self._ends.callback(_told, ["ip", "netns", "del", self.namespace])
        try:
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._ends.close()

    # -- commands ------------------------------------------------------------------------------------

    def ip(self, *lines: str) -> None:
        """Lines for ``ip -batch``."""
        _told(["ip", "-n", self.namespace, "-batch", "-"], "\n".join(lines) + "\n")

    def nft(self, rules: str) -> None:
        _told(["ip", "netns", "exec", self.namespace, "nft", "-f", "-"], rules)

    def run(self, argv: Sequence[str], *, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """A command in the namespace; /sys is the namespace's own. It must succeed, unless ``check`` is false."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *argv],
            check=False,
            capture_output=True,
            text=True,
            **{"timeout": 30, "stdin": None if "input" in more else subprocess.DEVNULL, **more},
        )
        assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done

    def sysctl(self, key: str, value: int | str) -> None:
        """``key`` is a path below /proc/sys/net, such as ``ipv4/ip_forward``."""
        with self.entered():
            Path("/proc/sys/net", key).write_text(str(value))

    def until_running(self, link: str) -> None:
        """Returns once the kernel sends on the link: what is sent sooner is lost."""
        asked = struct.pack("16sh14x", link.encode(), 0)
        with self.entered():
            changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with changes, self.open_socket(socket.SOCK_DGRAM) as asking:
            changes.bind((0, _RTMGRP_LINK))
            changes.settimeout(PATIENCE)
            while not struct.unpack("16xH14x", fcntl.ioctl(asking, _SIOCGIFFLAGS, asked))[0] & _IFF_RUNNING:
                try:
                    changes.recv(65536)
                except TimeoutError:
                    raise AssertionError(f"{link} does not come up") from None

    # -- sockets -------------------------------------------------------------------------------------

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in the namespace: sockets that it opens and threads that it starts are, for good."""
        with (
            open(f"/proc/self/task/{threading.get_native_id()}/ns/net", "rb") as home,  # noqa: PTH123
            open(f"/run/netns/{self.namespace}", "rb") as there,  # noqa: PTH123
        ):
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())

    def open_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        with self.entered():
            return socket.socket(socket.AF_INET, kind)

    def fetch(
        self, address: str, port: int = 80, *, source: str = "", timeout: float = PATIENCE, path: str = "/"
    ) -> str | None:
        """The page at an address; None if nothing answers, or refuses. ``source`` is the address to ask from."""
        with self.open_socket() as connecting:
            connecting.settimeout(timeout)
            if source:
                connecting.bind((source, 0))
            asking = http.client.HTTPConnection(address, port)
            asking.sock = connecting
            try:
                connecting.connect((address, port))
                asking.request("GET", path)
                answer = asking.getresponse()
                return answer.read().decode()
            except OSError:
                return None

    def ask_udp(
        self, address: str, port: int, *, source: str = "", timeout: float = PATIENCE
    ) -> tuple[str, str] | None:
        """What a UDP service answers, and the address that the answer comes from. Asks again, as clients do."""
        end = time.monotonic() + timeout
        with self.open_socket(socket.SOCK_DGRAM) as asking:
            asking.settimeout(min(timeout, 0.5))
            asking.bind((source, 0))
            while time.monotonic() < end:
                asking.sendto(b"?", (address, port))
                with suppress(TimeoutError):
                    answer, (answered, _) = asking.recvfrom(2048)
                    return answer.decode(), answered
        return None

    def serve_http(self, page: str | Callable[[str], str], address: str = "", port: int = 80) -> None:
        """Serves a page until the namespace ends; a function makes it from the client's address."""
        with self.entered():
            server = _PageServer((address, port), _PageHandler)
        server.page = page if callable(page) else lambda _: page
        self.serve_forever(server)

    def serve_forever(self, server: ThreadingTCPServer) -> None:
        """Serves until the namespace ends."""
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()

        def end() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self._ends.callback(end)

    def serve_udp(self, text: str, port: int, *addresses: str) -> None:
        """Answers every datagram with a text: from one wildcard socket, or from one bound to each address."""
        for address in addresses or ("",):
            serving = self.open_socket(socket.SOCK_DGRAM)
            serving.bind((address, port))
            self.serve(serving, functools.partial(_answer, text))

    def serve(self, serving: socket.socket, on_ready: Callable[[socket.socket], None]) -> Callable[[], None]:
        """Calls ``on_ready`` in a thread whenever the socket can be read, until what is returned is called."""
        waking, woken = socket.socketpair()
        thread = threading.Thread(target=_attend, args=(serving, woken, on_ready), daemon=True)
        thread.start()

        def end() -> None:
            if thread.is_alive():
                waking.close()
                thread.join()
                woken.close()
                serving.close()

        self._ends.callback(end)
        return end


class _PageServer(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    page: Callable[[str], str]


class _PageHandler(BaseHTTPRequestHandler):
    server: _PageServer
    timeout = 10

    def do_GET(self) -> None:
        body = self.server.page(self.client_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silent."""


def _answer(text: str, serving: socket.socket) -> None:
    _, peer = serving.recvfrom(2048)
    # Where no route leads back, the client hears nothing.
    try:
        serving.sendto(text.encode(), peer)
    except OSError:
        return


def _attend(serving: socket.socket, woken: socket.socket, on_ready: Callable[[socket.socket], None]) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(serving, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                return
            on_ready(serving)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _told(argv: Sequence[str], text: str = "") -> None:
    """Run a command that must succeed."""
    done = subprocess.run(argv, input=text, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr}{text}")
