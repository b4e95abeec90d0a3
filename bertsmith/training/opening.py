"""A run folder up to step 1, or up to the step resumed from: what all kinds of training share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, NamedTuple

from bertsmith import console, store
from bertsmith.training.device import Device, forget_peak_memory, set_fp32_backend, set_up_cpu
from bertsmith.training.environment import Record, Settings, broken_promises, machine_facts, record_from
from bertsmith.training.measurement import settle
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.state import State
from bertsmith.training.work import Plan, Work


class Found(NamedTuple):
    """What a run folder holds: what was settled, and the result of a finished run. None = not yet."""

    record: Record | None
    result: dict[str, Any] | None


def enter(stack: ExitStack, folder: RunFolder) -> None:
    """Take the folder's lock until the stack ends, and tidy up. UsageError when it holds something else."""
    stack.enter_context(store.locked(folder.path))
    folder.refuse_foreign()
    folder.sweep()


def find(folder: RunFolder, plan: Plan, inputs: Mapping[str, str], device: Device) -> Found:
    """What an earlier line left there, the same on every rank. UsageError naming the field in which it differs."""
    forget_peak_memory(device.torch_device)

    def look() -> dict[str, Any]:
        record = folder.record(plan, inputs)
        return {"record": asdict(record) if record else None, "result": folder.result() if record else None}

    found = device.on_main(look)
    return Found(record_from(found["record"]) if found["record"] else None, found["result"])


def begin(
    work: Work,
    folder: RunFolder,
    resolve: Callable[[Settings], Plan],
    device: Device,
    advise: Callable[[Settings], Sequence[str]] = lambda _: (),
) -> tuple[State, Settings]:
    """Settle what is left to choose, and write it down before anything is trained.

    advise: lines of advice on what was settled; empty ones are left out.
    """
    settings = settle(work, device)
    state, settings = work.build(settings)
    values = work.plan.values(), resolve(settings).values()
    record = Record(*values, work.inputs, settings, machine_facts(device.torch_device))
    device.on_main(lambda: folder.start(work.plan, record))
    _introduce(work, settings, state)
    for line in filter(None, advise(settings)):
        console.advise(line)
    return state, settings


def reopen(work: Work, record: Record, device: Device) -> tuple[State, Settings]:
    """The state as the run was started, with the settings it was started with."""
    settings = record.settings
    set_up_cpu(settings.threads, device.local_world)
    set_fp32_backend(settings.fp32_backend)
    changed = broken_promises(record, machine_facts(device.torch_device), device.world)
    state, now = work.build(settings)
    if now.compiled != settings.compiled:
        changed.append("compiled -> not compiled")
    if changed:
        console.warn(f"{'; '.join(changed)}: the run goes on, but no longer bit for bit")
    return state, settings


def _introduce(work: Work, settings: Settings, state: State) -> None:
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    kind = f"{settings.precision}, {'compiled' if settings.compiled else 'not compiled'}"
    console.say(
        f"{work.title}: {console.count(parameters)} parameters, {settings.steps} steps of"
        f" {work.plan.training.batch_size} {work.unit}, {kind}, {settings.threads} threads, {settings.world} rank(s)"
    )
