"""A machine on which every core is busy anyway: what a program costs there does not depend on who else runs beside it.

A browser on the server's own machine takes that machine's shared caches (and where its cores are threads of one, their units), so
that the same request costs the server more than with a client that is small, or that is elsewhere. Neighbours that take all the
time which nobody else wants put both on the same footing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: walks through more memory than a core's own cache holds, at a priority that gives way to everything else at once
_WALK = """
import array, os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
numbers = array.array("q", range(1 << 19))
while os.getppid() == {parent}:
    sum(numbers[place] for place in range(0, len(numbers), 8))
"""


@contextmanager
def neighbours(wanted: bool = True) -> Iterator[None]:
    """Keep every core busy meanwhile (Linux); they end with this process in any case."""
    script = _WALK.format(parent=os.getpid())
    started = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(os.cpu_count() or 1)] if wanted else []
    try:
        yield
    finally:
        for one in started:
            one.kill()
            one.wait()
