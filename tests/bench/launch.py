"""``launch.py COMMAND…`` runs a command and prints ``[wall, cpu, peak, exit code]``: seconds, seconds and KiB.

It is small, since the peak memory of a process counts from its birth as a copy of what has started it.
"""

import os
import subprocess
import sys
import time

began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
_, status, used = os.wait4(child.pid, 0)
wall = time.perf_counter() - began
code = child.returncode = os.waitstatus_to_exitcode(status)
print([wall, used.ru_utime + used.ru_stime, used.ru_maxrss, code])  # noqa: T201 - the answer
