"""What this machine has, how fast it multiplies matrices, what pays here, and what is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith import __version__
from bertsmith.console import render_table, size
from bertsmith.errors import UsageError

# One product of BERT-base's feed-forward layer at 2,048 tokens: large enough for the best rate, small enough to repeat.
TOKENS, WIDTH, INNER = 2048, 768, 3072
OPTIONAL = {
    "jieba": ("jieba", "Chinese words where rjieba has no wheel"),
    "transformers": ("tests, benchmarks", "comparison with Hugging Face"),
    "pytest": ("tests", "make test"),
    "hypothesis": ("tests", "make test"),
    "accelerate": ("benchmarks", "comparison with Hugging Face's Trainer"),
    "ruff": ("development", "make check"),
    "pyright": ("development", "make check"),
}
FEATURES = ("avx2", "avx512_f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")


class Way(NamedTuple):
    """One way to multiply: a name, and the product to time."""

    name: str
    multiply: Callable[[], object]


def examine(seconds: float = 10.0, seed: int = 0) -> dict[str, Any]:
    """Facts of the machine, GEMM rates in GFLOP/s (`seconds` of measuring in all), advice, and what is missing."""
    if not 0 < seconds <= 600:
        raise UsageError(f"--seconds: must be above 0 and at most 600, not {seconds:g}")
    facts = machine()
    rates = measure(seconds, seed)
    return {
        "machine": facts,
        "gigaflops": {name: round(rate, 1) for name, rate in rates.items()},
        "advice": advice(facts, rates),
        "missing": missing(),
    }


def machine() -> dict[str, Any]:
    """Cores, memory, disk, processor features, versions and GPUs of this machine."""
    import torch

    from bertsmith.training.environment import processor_name

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capabilities = torch.cpu.get_capabilities()
    return {
        "bertsmith": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": available,
        "threads": torch.get_num_threads(),
        "memory_bytes": _memory(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
        "features": [name for name in FEATURES if capabilities.get(name)],
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "compiler": next((name for name in ("g++", "clang++", "c++") if shutil.which(name)), ""),
    }


def _memory() -> int:
    """Bytes of memory this process may use: the machine's, or its container's limit; 0 where unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text()))
        except (OSError, ValueError):
            continue
    return total


def measure(seconds: float, seed: int = 0) -> dict[str, float]:
    """The best rate of each way to multiply, in GFLOP/s, over an equal share of the time."""
    ways = _ways(seed)
    return {way.name: _rate(way, seconds / len(ways)) for way in ways}


def _ways(seed: int) -> Sequence[Way]:
    import torch

    from bertsmith.training.device import choose_fp32_backend, set_fp32_backend

    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(TOKENS, WIDTH, generator=generator)
    right = torch.randn(INNER, WIDTH, generator=generator)
    linear = torch.nn.functional.linear
    halves = left.bfloat16(), right.bfloat16()
    # What training would use: on some CPUs twice as fast as torch's default.
    set_fp32_backend(choose_fp32_backend(torch.device("cpu")))
    ways = [Way("cpu fp32", lambda: linear(left, right)), Way("cpu bf16", lambda: linear(*halves))]
    if torch.cuda.is_available():
        large = [matrix.repeat(4, 1).cuda().bfloat16() for matrix in (left, right)]

        def on_gpu() -> None:
            for _ in range(16):
                linear(*large)
            torch.cuda.synchronize()

        ways.append(Way("gpu bf16", on_gpu))
    return ways


def _rate(way: Way, seconds: float) -> float:
    operations = 2.0 * TOKENS * WIDTH * INNER * (16 * 16 if way.name.startswith("gpu") else 1)
    way.multiply()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        started = time.perf_counter()
        way.multiply()
        best = min(best, time.perf_counter() - started)
    return operations / best / 1e9


def advice(facts: dict[str, Any], rates: dict[str, float]) -> list[str]:
    """Which precision and compilation pay here, in sentences."""
    found = []
    gain = rates["cpu bf16"] / rates["cpu fp32"]
    if facts["gpus"]:
        found.append("a GPU is there: training uses it, in bf16")
    elif gain >= 1.1:
        found.append(f"bf16 multiplies {gain:.1f} times as fast as fp32: training.precision = auto will take it")
    else:
        found.append(f"bf16 is no faster here ({gain:.1f} times fp32): training.precision = auto will stay with fp32")
    if facts["compiler"]:
        found.append(
            f"{facts['compiler']} is there: training.compile can be used; it pays in runs of 20 minutes or more"
        )
    else:
        found.append("no C++ compiler: training.compile stays off (Debian and Ubuntu: apt install g++)")
    if facts["memory_bytes"] and facts["memory_bytes"] < 4e9:
        found.append("less than 4 GB of memory: use bert-tiny or bert-mini, and training.micro_batch for larger models")
    if facts["disk_free_bytes"] < 5e9:
        found.append(
            "less than 5 GB free here: checkpoints of bert-base take 1.3 GB each; choose another folder for runs"
        )
    return found


def missing() -> list[dict[str, str]]:
    """Optional packages that are not installed: name, the extra that brings it, what it is for."""
    return [
        {"package": name, "extra": extra, "for": purpose}
        for name, (extra, purpose) in OPTIONAL.items()
        if importlib.util.find_spec(name) is None
    ]


def render(result: dict[str, Any]) -> str:
    """The findings as tables."""
    facts = result["machine"]
    shown = {
        **{key: facts[key] for key in ("bertsmith", "python", "torch", "system", "processor")},
        "cores": f"{facts['cores']} ({facts['threads']} threads)",
        "memory": size(facts["memory_bytes"]),
        "free disk here": size(facts["disk_free_bytes"]),
        "features": " ".join(facts["features"]) or "none known",
        "GPUs": ", ".join(facts["gpus"]) or "none",
        "C++ compiler": facts["compiler"] or "none",
        **{f"{name} GEMM": f"{rate:,.0f} GFLOP/s" for name, rate in result["gigaflops"].items()},
    }
    absent = [[row["package"], f"bertsmith[{row['extra'].split(',')[0]}]", row["for"]] for row in result["missing"]]
    blocks = [
        render_table("this machine", list(shown.items()), ["", ""]),
        "\n".join(f"- {line}" for line in result["advice"]),
        render_table("not installed (optional)", absent, ["package", "comes with", "for"]) if absent else "",
    ]
    return "\n\n".join(block for block in blocks if block)
