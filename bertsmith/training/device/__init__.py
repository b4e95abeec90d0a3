"""What the rest of training does not know: ranks, number formats and compilation."""

from bertsmith.training.device.compilation import compile_layers, eager_only, uncompile_layers
from bertsmith.training.device.load import OtherWork
from bertsmith.training.device.memory import forget_peak_memory, peak_memory
from bertsmith.training.device.precision import (
    DTYPES,
    choose_fp32_backend,
    seed_dropout,
    set_fp32_backend,
    set_up_cpu,
    supports_bf16,
)
from bertsmith.training.device.ranks import Device, open_device

__all__ = [
    "DTYPES",
    "Device",
    "OtherWork",
    "choose_fp32_backend",
    "compile_layers",
    "eager_only",
    "forget_peak_memory",
    "open_device",
    "peak_memory",
    "seed_dropout",
    "set_fp32_backend",
    "set_up_cpu",
    "supports_bf16",
    "uncompile_layers",
]
