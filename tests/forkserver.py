"""The command as a real process that starts at once: forked from one that has imported everything already.

Such a process has its own pid, memory, connections and signals, and SIGKILL ends it like any other. What differs
from ``python -m enireconcile`` is that modules need not be loaded at the start nor taken down at the end; tests of
just that start one from nothing (``cold``).

Run as a program this module is the parent of those processes: it reads requests from the socket whose number is
its argument, forks, and reports how each child ended. It has one thread only, as forking demands.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import enireconcile
from enireconcile.aws.session import connect
from enireconcile.cli.app import main

ROOT = Path(__file__).parent.parent
_LONGEST_REQUEST = 2**18


class Child:
    """What the tests need of ``subprocess.Popen``; ``stdout`` and ``stderr`` are text."""

    def __init__(self, stdout: IO[str], stderr: IO[str]) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.pid = 0
        self.returncode: int | None = None
        self._said: tuple[str, str] | None = None
        self._begun, self._ended = threading.Event(), threading.Event()
        self._signalling = threading.Lock()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, minus the number of the signal that ended it. Raises TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        with self._signalling:
            if self.returncode is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Both streams to their ends, and the process to its own. Raises TimeoutExpired."""
        if self._said is not None:
            return self._said
        said = ["", ""]
        streams = (self.stdout, self.stderr)

        def read(number: int) -> None:
            said[number] = streams[number].read()

        readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in (0, 1)]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        for stream in streams:
            stream.close()
        self._said = said[0], said[1]
        return self._said

    def happened(self, news: Mapping[str, int]) -> None:
        if "pid" in news:
            self.pid = news["pid"]
            self._begun.set()
            return
        with self._signalling:
            self.returncode = news["code"]
        self._ended.set()

    def begun(self) -> None:
        self._begun.wait()


class _Forkserver:
    """This process's end of the socket."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.forkserver", str(other.fileno())],
            cwd=ROOT,
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
        )
        other.close()
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._born = 0
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        atexit.register(self.close)

    def start(self, args: Sequence[str], environment: Mapping[str, str]) -> Child:
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        child = Child(os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))
        with self._lock:
            self._born += 1
            self._children[self._born] = child
            wish = {
                "number": self._born,
                "args": list(args),
                "cwd": str(Path.cwd()),
                "environment": {**environment},
            }
            socket.send_fds(self._socket, [json.dumps(wish).encode()], [out_end, err_end])
        os.close(out_end)
        os.close(err_end)
        child.begun()
        return child

    def _listen(self) -> None:
        while news := self._socket.recv(_LONGEST_REQUEST):
            told = json.loads(news)
            self._children[told["number"]].happened(told)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._parent.wait()
        self._listener.join()
        self._socket.close()


_forkserver: _Forkserver | None = None
_forkserver_lock = threading.Lock()


def start(args: Sequence[str], environment: Mapping[str, str]) -> Child:
    """``enireconcile`` with these arguments and no other environment."""
    global _forkserver  # noqa: PLW0603 (one for all tests of a process)
    with _forkserver_lock:
        if _forkserver is None:
            _forkserver = _Forkserver()
    return _forkserver.start(args, environment)


def cold(args: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """The same from nothing."""
    return subprocess.Popen(
        [sys.executable, "-m", "enireconcile", *args],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ---- the parent of the processes


def _serve(requests: socket.socket) -> None:
    """Returns in every child, as what was asked for; in the parent it ends with the socket of the requests."""
    waking, woken = socket.socketpair()
    for end in (waking, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno())
    numbers: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _report(requests, numbers)
        if requests not in ready:
            continue
        wish, ends, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 2)
        if not wish:
            sys.exit()
        asked = json.loads(wish)
        if (pid := os.fork()) == 0:
            break
        numbers[pid] = asked["number"]
        requests.send(json.dumps({"number": asked["number"], "pid": pid}).encode())
        for end_of_pipe in ends:
            os.close(end_of_pipe)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for leftover in (waking, woken, requests):
        leftover.close()
    _become(asked, ends)


def _report(requests: socket.socket, numbers: dict[int, int]) -> None:
    """Tell of all children that have ended."""
    while numbers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        requests.send(json.dumps({"number": numbers.pop(pid), "code": code}).encode())


def _become(asked: Mapping[str, Any], ends: Sequence[int]) -> None:
    for number, end_of_pipe in enumerate(ends, start=1):
        os.dup2(end_of_pipe, number)
        os.close(end_of_pipe)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["cwd"])
    sys.argv = ["enireconcile", *asked["args"]]


def _import_everything() -> None:
    """What any command would load, and the models of the services."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for module in pkgutil.walk_packages(enireconcile.__path__, "enireconcile."):
        if module.name != "enireconcile.__main__":
            importlib.import_module(module.name)
    os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
    session = connect(region="us-east-1", profile=None)
    for service in ("ec2", "sts", "ssm"):
        session.client(service)
    session.close()


def _run() -> NoReturn:
    """The command, and out: taking down all that was imported for many would cost more than the command itself."""
    code = 1
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 (as the interpreter would)
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    _run()
