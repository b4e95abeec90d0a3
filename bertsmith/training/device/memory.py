"""The most memory that a run held: of the GPU, or of this process since the run began."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # what the kernel forgets: the largest size this process ever had


def forget_peak_memory(device: torch.device) -> None:
    """Begin anew: a process may train several models, one after the other. Where the kernel cannot, nothing happens.

    What an earlier run has freed goes back first: a run keeps freed memory for its own next step.
    """
    gc.collect()
    with suppress(OSError, AttributeError):  # not of this C library
        ctypes.CDLL(None).malloc_trim(0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        CLEAR.write_text(PEAK)


def peak_memory(device: torch.device) -> int:
    """Bytes: the largest there were since `forget_peak_memory`, or, where that cannot be told, ever."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
