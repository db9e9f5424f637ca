"""``launch.py COMMAND…`` runs a command and prints ``[wall, cpu, peak, exit code]``: seconds, seconds and KiB.

It is small, since the peak memory of a process counts from its birth as a copy of what has started it. Processes
that outlive the command, such as the one from which its workers are forked, become its children: their CPU counts.
"""

import ctypes
import os
import subprocess
import sys
import time

_SET_CHILD_SUBREAPER = 36

if sys.platform == "linux":
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
_, status, used = os.wait4(child.pid, 0)
wall = time.perf_counter() - began
code = child.returncode = os.waitstatus_to_exitcode(status)
cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss
while True:
    try:
        _, _, used = os.wait4(-1, 0)
    except ChildProcessError:
        break
    cpu, peak = cpu + used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss)
print([wall, cpu, peak, code])  # noqa: T201 - the answer
