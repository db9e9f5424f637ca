"""Run the command line: ``enireconcile``, or ``python -m enireconcile``."""

from __future__ import annotations

import signal
import sys
import threading
from typing import NoReturn

from enireconcile.cli import code_if_stopped


def main() -> NoReturn:
    """Run a command and exit with its code. A Ctrl-C while its modules load ends it in one line."""
    try:
        from enireconcile.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was changed\n")
        _exit(code_if_stopped())
    except SystemExit as ended:
        _exit(ended.code if isinstance(ended.code, int) else 1)


def _exit(code: int) -> NoReturn:
    """Exit although threads are waiting for answers. From here on, a signal does not change the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if threading.active_count() == 1:
        sys.exit(code)
    from enireconcile.cli.signals import exit_now

    exit_now(code)


if __name__ == "__main__":
    main()
