"""How busy other processes keep the machine: timings beside them say little."""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of the line "cpu": user, nice, system, irq, softirq, steal; guests are in user


class OtherWork:
    """Cores that anything but this process kept busy since it was made, on average."""

    def __init__(self) -> None:
        self._started = _now()

    def cores(self, processes: int = 1) -> float:
        """`processes`: how many like this one are at work, each of which counts as this one does.

        Of the whole machine, as the kernel counts it; where it does not tell, the load average beyond these processes'
        own threads, 0 where there is neither.
        """
        before, now = self._started, _now()
        wall = max(now[0] - before[0], 1e-3)
        own = (now[1] - before[1]) / wall * processes
        if now[2] < 0 or before[2] < 0:
            return max(0.0, _load_average() - own)
        return max(0.0, (now[2] - before[2]) / wall - own)


def _now() -> tuple[float, float, float]:
    """Seconds: of the clock, of this process on all cores, of the whole machine (-1 = not told)."""
    return time.monotonic(), time.process_time(), _machine_seconds()


def _machine_seconds() -> float:
    try:
        fields = STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        return sum(int(fields[i]) for i in BUSY_FIELDS) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return -1.0


def _load_average() -> float:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0
