"""Run the command line: ``enireconcile``, or ``python -m enireconcile``."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from enireconcile.cli import code_if_stopped


def main() -> NoReturn:
    """Run a command and exit with its code. A Ctrl-C while its modules load ends it in one line."""
    # Nearly all objects of a run on one stack live until it ends: early collections find nothing to free.
    gc.set_threshold(2_000_000, 20, 20)
    _open_standard_streams()
    try:
        from enireconcile.cli import app

        app.main()
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was changed\n")
        _exit(code_if_stopped())
    except SystemExit as ended:
        _exit(ended.code if isinstance(ended.code, int) else 1)


def _open_standard_streams() -> None:
    """Open what the caller has closed (``2>&-``) on /dev/null.

    Otherwise Python has no such stream, and the next file or connection gets its number.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is this one: those below are open by now.
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _exit(code: int) -> NoReturn:
    """Exit at once. From here on, a signal does not change the exit code.

    Threads may wait for answers that never come, and to take down all modules and objects takes longer than many
    a command.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        # What cannot be written is lost, and does not change the exit code.
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
