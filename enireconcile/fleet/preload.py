"""Imported once, by the process from which workers are forked: it outlives a SIGTERM to all processes of a run.

The workers end their units after the calls in flight then; without the process that they were forked from, the run
would take them for dead. It ends with the run.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
