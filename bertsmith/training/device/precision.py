"""Number formats, threads, memory and the seed of dropout."""

from __future__ import annotations

import ctypes
import math
import os
import time

import numpy as np
import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

DEFAULT_BACKEND = "default"
BACKENDS = {DEFAULT_BACKEND: "none", "onednn_tf32": "tf32", "onednn_bf16": "bf16"}
"""Values of torch.backends.mkldnn.matmul.fp32_precision. On some CPUs oneDNN is twice as fast as torch's own choice,
and reached only by permitting a shorter format that it then does not use; on others it does round: each is tried."""
WORTHWHILE = 0.75  # the time it may take relative to torch's choice
TOLERATED = 2.0  # the error it may have relative to torch's choice
ROUNDS = 8

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
LARGEST_KEPT = 2**25  # bytes: the most glibc takes as threshold
NEVER = 2**31 - 1


def seed_dropout(key: np.uint64) -> None:
    """Start torch's default generators (CPU and GPU) at a hash of (seed, step, micro-step, rank)."""
    # torch.manual_seed formats a traceback in each call where there is a GPU library but no GPU: a millisecond a step.
    torch.default_generator.manual_seed(int(key))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(int(key))


def set_up_cpu(threads: int, local_world: int) -> int:
    """Use `threads` threads (0 = this rank's share of the cores), keep freed memory; returns the number of threads."""
    if not threads:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, available // local_world)
    torch.set_num_threads(threads)
    _keep_freed_memory()
    return threads


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to LARGEST_KEPT a piece, and give it out again.

    Every step frees the tensors that the next one allocates again; returned to the system in between, their pages have
    to be cleared and mapped anew, which took 15 % of a bert-small's step. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, NEVER)


def supports_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 natively; everywhere else it is emulated and slow."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def set_fp32_backend(name: str) -> None:
    """Choose how fp32 matrices are multiplied on the CPU, by a name that `choose_fp32_backend` returned."""
    if torch.backends.mkldnn.is_available():
        torch.backends.mkldnn.matmul.fp32_precision = BACKENDS[name]  # type: ignore[attr-defined]


def choose_fp32_backend(device: torch.device) -> str:
    """The faster way to multiply fp32 matrices whose error is still that of fp32."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return DEFAULT_BACKEND
    seconds = dict.fromkeys(BACKENDS, math.inf)
    errors: dict[str, float] = {}
    for _ in range(ROUNDS):  # in turns, so that a busy moment slows all of them
        for name in BACKENDS:
            errors[name], passed = try_fp32_backend(name)
            seconds[name] = min(seconds[name], passed)
    exact = [name for name in BACKENDS if errors[name] <= TOLERATED * errors[DEFAULT_BACKEND]]
    fastest = min(exact, key=seconds.__getitem__)
    return fastest if seconds[fastest] <= WORTHWHILE * seconds[DEFAULT_BACKEND] else DEFAULT_BACKEND


def try_fp32_backend(name: str) -> tuple[float, float]:
    """(largest error against float64, seconds) of one product at a BERT-mini layer's size; leaves the backend set."""
    set_fp32_backend(name)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(rows, 256, generator=generator) for rows in (1024, 1024))
    started = time.perf_counter()
    product = torch.nn.functional.linear(left, right)
    seconds = time.perf_counter() - started
    return float((product - left.double() @ right.double().T).abs().max()), seconds
