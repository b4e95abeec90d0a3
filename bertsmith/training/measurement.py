"""Choices that depend on the machine, made once on throw-away steps before step 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from bertsmith import console, interrupt
from bertsmith.data.batches import BatchSource
from bertsmith.models.model import Model
from bertsmith.training import budget
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device, choose_fp32_backend, set_fp32_backend, set_threads, supports_bf16
from bertsmith.training.environment import Settings
from bertsmith.training.loop import steps
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.schedules import warmup_steps
from bertsmith.training.setup import build_state

MEASURED_SECONDS = 2.0  # of steps per measurement, after one that is thrown away
MOST_STEPS = 100
BF16_GAIN = 1.1  # bf16 is chosen from this speed-up on: below it, fp32's digits are worth more
COMPILE_PAYS_SECONDS = 1200.0  # compiling takes 20 to 90 s and gains up to a third
COMPILE_GAIN = 1.05


def settle(
    plan: PretrainingPlan, initial: Callable[[], Model], sources: Sequence[BatchSource], device: Device
) -> Settings:
    """Resolve precision, compilation, threads, fp32 backend and the budget, the same on every rank.

    initial: makes the model as it is before step 1. sources: the examples of each phase.
    """
    training = plan.training
    threads = set_threads(training.threads, device.local_world)
    settings = Settings(0, "fp32", False, choose_fp32_backend(device.torch_device), threads, device.world)
    settings = replace(settings, fp32_backend=str(device.on_main(lambda: settings.fp32_backend)))
    set_fp32_backend(settings.fp32_backend)
    seconds: dict[tuple[str, bool], float] = {}

    def measured(precision: str, compiled: bool = False) -> float:
        key = (precision, compiled)
        if key not in seconds:
            seconds[key] = _seconds_per_step(
                plan, replace(settings, precision=precision, compiled=compiled), initial, sources[0], device
            )
        return seconds[key]

    precision = _precision(training, device, measured)
    compiled = training.compile == "on"
    if training.compile == "auto" and _is_long(plan, sources, lambda: measured(precision)):
        compiled = measured(precision, True) * COMPILE_GAIN < measured(precision)
    settings = replace(settings, precision=precision, compiled=compiled)
    per_phase = [0.0] * len(sources)
    if training.minutes:
        per_phase = [measured(precision, compiled)]
        per_phase += [_seconds_per_step(plan, settings, initial, source, device) for source in sources[1:]]
    count = budget.steps_for(training, plan.long_phase, sources, per_phase)
    if training.minutes:
        times = " and ".join(f"{1000 * second:,.0f}" for second in per_phase)
        console.say(f"{training.minutes:g} minutes are {count} steps of {times} ms")
    warmup_steps(training, count)
    return replace(settings, steps=count)


def _precision(training: TrainingConfig, device: Device, measured: Callable[[str], float]) -> str:
    if training.precision != "auto":
        return training.precision
    unsupported = device.maximum(float(not supports_bf16(device.torch_device)))
    if unsupported:
        return "fp32"
    gain = measured("fp32") / measured("bf16")
    console.say(f"bf16 is {gain:.2f} x as fast as fp32 here: training in {'bf16' if gain >= BF16_GAIN else 'fp32'}")
    return "bf16" if gain >= BF16_GAIN else "fp32"


def _is_long(plan: PretrainingPlan, sources: Sequence[BatchSource], seconds: Callable[[], float]) -> bool:
    """Whether the planned length pays for compiling."""
    if plan.training.minutes:
        return plan.training.minutes * 60 >= COMPILE_PAYS_SECONDS
    count = budget.steps_for(plan.training, plan.long_phase, sources, [])
    return count * seconds() >= COMPILE_PAYS_SECONDS


def _seconds_per_step(
    plan: PretrainingPlan, settings: Settings, initial: Callable[[], Model], source: BatchSource, device: Device
) -> float:
    """Mean time of a step of `source` with these settings, of the slowest rank; its results are thrown away."""
    state, settings = build_state(plan, settings, initial, device)
    training = replace(plan.training, steps=MOST_STEPS + 2, warmup=0.0, schedule="constant")
    batches = (source.step(number) for number in itertools.count())
    overlapped = training.workers > 0
    times: list[float] = []
    wanted = 3
    for step in steps(state, batches, training, device):
        interrupt.check("nothing was trained yet")
        times.append(device.maximum(step.seconds - (step.wait if overlapped else 0.0)))
        if len(times) == 2:
            wanted = 2 + min(MOST_STEPS, math.ceil(MEASURED_SECONDS / times[1]))
        if len(times) >= wanted:
            break
    return sum(times[1:]) / len(times[1:])
