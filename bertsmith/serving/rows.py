"""Tensors given to compiled loops, their rows shared out to as many threads as torch uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]
LEAST = 64  # rows of a thread: with fewer, starting it takes longer than they do


def memory_of(tensor: Tensor) -> Array:
    """The tensor's memory as an array; bf16 by its bits, uint16."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.detach().numpy()


def by_rows(loop: Callable[..., None], matrices: Sequence[Array], *shared: object) -> None:
    """loop(*matrices, *shared) over matrices of equally many rows, which it treats one by one."""
    rows = len(matrices[0])
    threads = min(torch.get_num_threads(), rows // LEAST)
    if threads <= 1:
        loop(*matrices, *shared)
        return
    step = -(-rows // threads)
    parts = [[matrix[start : start + step] for matrix in matrices] for start in range(0, rows, step)]
    pool = _pool(os.getpid())
    others = [pool.submit(loop, *part, *shared) for part in parts[1:]]
    loop(*parts[0], *shared)
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(os.cpu_count() or 1)
