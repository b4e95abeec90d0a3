"""Choices that depend on the machine, made once on throw-away steps before step 1."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from statistics import mean

from bertsmith import console, interrupt
from bertsmith.config import to_values
from bertsmith.training.device import (
    Device,
    OtherWork,
    choose_fp32_backend,
    set_fp32_backend,
    set_up_cpu,
    supports_bf16,
)
from bertsmith.training.environment import Settings, machine_facts
from bertsmith.training.loop import steps
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.remembered import remembered
from bertsmith.training.schedules import warmup_steps
from bertsmith.training.work import Work

MEASURED_SECONDS = 2.0  # of steps per measurement, after one that is thrown away
MOST_STEPS = 100
BF16_GAIN = 1.1  # bf16 is chosen from this speed-up on: below it, fp32's digits are worth more
COMPILE_PAYS_SECONDS = 1200.0  # compiling takes 20 to 90 s and gains up to a third
COMPILE_GAIN = 1.05
DISTURBED = 0.25  # cores that other processes keep busy, from which on the times of two kinds of steps are not compared


def settle(work: Work, device: Device) -> Settings:
    """Resolve precision, compilation, threads, fp32 backend and the budget, the same on every rank."""
    training = work.plan.training
    threads = set_up_cpu(training.threads, device.local_world)
    machine = [machine_facts(device.torch_device), threads, device.world]
    backend = remembered("fp32_backend", machine, lambda: choose_fp32_backend(device.torch_device), device)
    set_fp32_backend(backend)
    settings = Settings(0, "fp32", False, backend, threads, device.world)
    clock = _Clock(work, settings, device)
    circumstances = [machine, list(work.cost)]
    precision = _precision(clock, circumstances) if training.precision == "auto" else training.precision
    compiled = training.compile == "on"
    circumstances.append(precision)
    if training.compile == "auto" and not work.brief and _is_long(clock, precision, circumstances):
        compiled = remembered(
            "compile", circumstances, lambda: _faster_compiled(clock, precision), device, lambda: not clock.disturbed
        )
    settings = replace(settings, precision=precision, compiled=compiled)
    seconds = [mean(clock.times(precision, compiled, phase)) for phase in range(len(work.sources)) if training.minutes]
    count = work.steps_for(seconds)
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


def _precision(clock: _Clock, circumstances: object) -> str:
    """The faster number format: measured, or expected where measuring does not pay or cannot be trusted."""
    device = clock.device
    if device.maximum(float(not supports_bf16(device.torch_device))):
        return "fp32"
    if clock.work.brief:
        return "bf16"

    def faster() -> str:
        measured = "bf16" if clock.best("fp32") >= BF16_GAIN * clock.best("bf16") else "fp32"
        return "bf16" if clock.disturbed else measured

    precision = remembered("precision", circumstances, faster, device, lambda: not clock.disturbed)
    if clock.disturbed:
        console.say(f"training in {precision}, for which this processor is made; other work disturbs a measurement")
    else:
        console.say(f"training in {precision}, measured to be the faster on this machine")
    return precision


def _faster_compiled(clock: _Clock, precision: str) -> bool:
    return clock.best(precision) >= COMPILE_GAIN * clock.best(precision, compiled=True)


def _is_long(clock: _Clock, precision: str, circumstances: object) -> bool:
    """Whether the planned length pays for compiling."""
    training = clock.work.plan.training
    if training.minutes:
        return training.minutes * 60 >= COMPILE_PAYS_SECONDS
    count = clock.work.steps_for([])
    seconds = remembered(
        "seconds", circumstances, lambda: clock.best(precision), clock.device, lambda: not clock.disturbed
    )
    return count * seconds >= COMPILE_PAYS_SECONDS


@dataclass
class _Clock:
    """Times throw-away steps, each kind once. disturbed: whether other work was there meanwhile."""

    work: Work
    settings: Settings
    device: Device
    disturbed: bool = False
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
        state, _ = self.work.build(settings)
        source, workers = self.work.sources[phase], self.work.plan.training.workers
        # At next to no rate: without its warm-up the recipe's own could end in a loss that is not a number.
        training = replace(
            self.work.plan.training, steps=MOST_STEPS + 2, warmup=0.0, schedule="constant", learning_rate=1e-12
        )
        batches = (source.step(number) for number in itertools.count())
        times: list[float] = []
        others = OtherWork()
        wanted = 2
        for step in steps(state, batches, training, self.device):
            interrupt.check("nothing was trained yet")
            overlapped = step.wait if workers else 0.0
            times.append(self.device.maximum(step.seconds - overlapped))
            if len(times) == 2:
                wanted = 2 + min(MOST_STEPS, math.ceil(MEASURED_SECONDS / times[1]))
            if len(times) >= wanted > 2:
                break
        cores = others.cores(self.device.local_world)
        self.disturbed = bool(self.device.maximum(float(self.disturbed or cores > DISTURBED)))
        return times[1:]
