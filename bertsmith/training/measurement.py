"""Choices that depend on the machine, made once on throw-away steps before step 1."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean

from bertsmith import console, interrupt
from bertsmith.config import to_values
from bertsmith.data.mixture import Batches
from bertsmith.models.model import Model
from bertsmith.training import budget
from bertsmith.training.device import Device, choose_fp32_backend, set_fp32_backend, set_up_cpu, supports_bf16
from bertsmith.training.environment import Settings, machine_facts
from bertsmith.training.loop import steps
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.remembered import remembered
from bertsmith.training.schedules import warmup_steps
from bertsmith.training.setup import build_state

MEASURED_SECONDS = 2.0  # of steps per measurement, after one that is thrown away
MOST_STEPS = 100
BF16_GAIN = 1.1  # bf16 is chosen from this speed-up on: below it, fp32's digits are worth more
COMPILE_PAYS_SECONDS = 1200.0  # compiling takes 20 to 90 s and gains up to a third
COMPILE_GAIN = 1.05


def settle(plan: PretrainingPlan, initial: Callable[[], Model], sources: Sequence[Batches], device: Device) -> Settings:
    """Resolve precision, compilation, threads, fp32 backend and the budget, the same on every rank.

    initial: makes the model as it is before step 1. sources: the examples of each phase.
    """
    training = plan.training
    threads = set_up_cpu(training.threads, device.local_world)
    machine = [machine_facts(device.torch_device), threads, device.world]
    backend = remembered("fp32_backend", machine, lambda: choose_fp32_backend(device.torch_device), device)
    set_fp32_backend(backend)
    settings = Settings(0, "fp32", False, backend, threads, device.world)
    clock = _Clock(plan, settings, initial, sources, device)
    circumstances = [machine, cost_of(plan)]
    if training.precision == "auto":
        precision = remembered("precision", circumstances, lambda: _faster_precision(clock, device), device)
        console.say(f"training in {precision}, measured to be the faster on this machine")
    else:
        precision = training.precision
    compiled = training.compile == "on"
    circumstances.append(precision)
    if training.compile == "auto" and _is_long(clock, precision, circumstances):
        compiled = remembered("compile", circumstances, lambda: _faster_compiled(clock, precision), device)
    settings = replace(settings, precision=precision, compiled=compiled)
    seconds = [mean(clock.times(precision, compiled, phase)) for phase in range(len(sources)) if training.minutes]
    count = budget.steps_for(training, plan.long_phase, sources, seconds)
    if training.minutes:
        times = " and ".join(f"{1000 * second:,.0f}" for second in seconds)
        console.say(f"{training.minutes:g} minutes are {count} steps of {times} ms")
    warmup_steps(training, count)
    return replace(settings, steps=count)


def cost_of(plan: PretrainingPlan) -> list[object]:
    """What decides how fast a step is; rates, masks and seeds do not."""
    training = plan.training
    step = [training.batch_size, training.micro_batch, training.activation_checkpointing, plan.cut.length]
    return [to_values(plan.model), *step, list(plan.objectives.use)]


def _faster_precision(clock: _Clock, device: Device) -> str:
    if device.maximum(float(not supports_bf16(device.torch_device))):
        return "fp32"
    return "bf16" if clock.best("fp32") >= BF16_GAIN * clock.best("bf16") else "fp32"


def _faster_compiled(clock: _Clock, precision: str) -> bool:
    return clock.best(precision) >= COMPILE_GAIN * clock.best(precision, compiled=True)


def _is_long(clock: _Clock, precision: str, circumstances: object) -> bool:
    """Whether the planned length pays for compiling."""
    plan = clock.plan
    if plan.training.minutes:
        return plan.training.minutes * 60 >= COMPILE_PAYS_SECONDS
    count = budget.steps_for(plan.training, plan.long_phase, clock.sources, [])
    seconds = remembered("seconds", circumstances, lambda: clock.best(precision), clock.device)
    return count * seconds >= COMPILE_PAYS_SECONDS


@dataclass
class _Clock:
    """Times throw-away steps, each kind once."""

    plan: PretrainingPlan
    settings: Settings
    initial: Callable[[], Model]
    sources: Sequence[Batches]
    device: Device
    known: dict[tuple[str, bool, int], list[float]] = field(default_factory=dict)

    def best(self, precision: str, compiled: bool = False) -> float:
        """The shortest time of a step: what the machine can do when nothing else keeps it busy."""
        return min(self.times(precision, compiled))

    def times(self, precision: str, compiled: bool = False, phase: int = 0) -> list[float]:
        """Seconds of steps, of the slowest rank each."""
        key = (precision, compiled, phase)
        if key not in self.known:
            self.known[key] = self._measure(replace(self.settings, precision=precision, compiled=compiled), phase)
        return self.known[key]

    def _measure(self, settings: Settings, phase: int) -> list[float]:
        state, _ = build_state(self.plan, settings, self.initial, self.device)
        # At next to no rate: without its warm-up the recipe's own could end in a loss that is not a number.
        training = replace(
            self.plan.training, steps=MOST_STEPS + 2, warmup=0.0, schedule="constant", learning_rate=1e-12
        )
        batches = (self.sources[phase].step(number) for number in itertools.count())
        times: list[float] = []
        wanted = 2
        for step in steps(state, batches, training, self.device):
            interrupt.check("nothing was trained yet")
            overlapped = step.wait if training.workers else 0.0
            times.append(self.device.maximum(step.seconds - overlapped))
            if len(times) == 2:
                wanted = 2 + min(MOST_STEPS, math.ceil(MEASURED_SECONDS / times[1]))
            if len(times) >= wanted > 2:
                break
        return times[1:]
