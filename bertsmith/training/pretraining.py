"""Pretraining in one run folder: begin, go on, or say that it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bertsmith import console, store
from bertsmith.data.mixture import Batches, CorpusShare, MixedCorpus, open_mixed, sequences_of
from bertsmith.errors import BertsmithError
from bertsmith.models.huggingface import require_padding
from bertsmith.models.model import Model
from bertsmith.training.advice import advice_for_continuing
from bertsmith.training.checkpoint import Checkpoints
from bertsmith.training.device import Device, open_device, set_fp32_backend, set_up_cpu
from bertsmith.training.environment import Record, Settings, broken_promises, machine_facts, record_from
from bertsmith.training.initial import initial_model, input_fingerprints
from bertsmith.training.logs import Interval
from bertsmith.training.measurement import settle
from bertsmith.training.plan import PretrainingPlan, open_sources
from bertsmith.training.run import PretrainingResult, Run
from bertsmith.training.run_folder import RunFolder, resolved
from bertsmith.training.setup import build_state
from bertsmith.training.state import State
from bertsmith.training.validation import Baselines, Validation, probe_batches


def pretrain(
    plan: PretrainingPlan, corpus: Path | Sequence[CorpusShare], out: Path, init: Path | None = None
) -> PretrainingResult:
    """Train a model on a corpus folder, or several in shares, into the run folder `out`, or go on with the run there.

    The same call again resumes an unfinished run bit for bit and returns the result of a finished one. `init`: a model
    folder whose weights to start from. Under torchrun every rank calls it.
    Raises UsageError (another plan, corpus or initial model than the run there; a plan that contradicts itself),
    Stopped or Interrupted after a signal, with a checkpoint saved, and BertsmithError when training fails.
    """
    folder = RunFolder(Path(out))
    with open_device() as device, ExitStack() as stack:
        shares = [CorpusShare(corpus)] if isinstance(corpus, Path) else corpus
        text = open_mixed(shares, verify=True)  # a flipped bit would otherwise be learnt in silence
        device.on_main(lambda: _enter(stack, folder))
        plan = replace(plan, model=replace(plan.model, vocab_size=text.tokenizer.vocab_size).resolved())
        plan.check()
        require_padding(plan.model, text.tokenizer.special.pad)
        inputs = input_fingerprints(text, init)
        found = device.on_main(lambda: _find(folder, plan, inputs))
        if found["result"]:
            console.say(f"{folder.path}: this run is finished")
            return PretrainingResult(**found["result"])
        record = record_from(found["record"]) if found["record"] else None
        try:
            run = _open_run(plan, text, open_mixed(shares, "validation"), folder, record, inputs, init, device)
            return run.train()
        except torch.OutOfMemoryError as error:
            raise BertsmithError(
                "out of memory; set training.micro_batch to a part of training.batch_size (same result, less memory)"
                " or training.activation_checkpointing to true"
            ) from error


def _enter(stack: ExitStack, folder: RunFolder) -> None:
    stack.enter_context(store.locked(folder.path))
    folder.refuse_foreign()
    folder.sweep()


def _find(folder: RunFolder, plan: PretrainingPlan, inputs: dict[str, str]) -> dict[str, Any]:
    """The record and the result in the run folder, as JSON, for every rank."""
    record = folder.record(plan, inputs)
    return {"record": asdict(record) if record else None, "result": folder.result() if record else None}


def _open_run(
    plan: PretrainingPlan,
    text: MixedCorpus,
    validation_text: MixedCorpus,
    folder: RunFolder,
    record: Record | None,
    inputs: dict[str, str],
    init: Path | None,
    device: Device,
) -> Run:
    """Everything up to step 1, or up to the step resumed from."""
    sources = open_sources(plan, text, device, folder.plans)
    for source in sources:
        source.steps_per_epoch(0)  # a corpus smaller than one batch is an error now, not at step 1
    if len(text.corpora) > 1:
        sizes = sequences_of(text.shares, plan.training.batch_size)
        parts = " and ".join(f"{size} of {name}" for name, size in zip(text.names, sizes, strict=True))
        console.say(f"the {plan.training.batch_size} sequences of a step are {parts}")
    initial = initial_model(plan, text, init, lambda: probe_batches(plan, [validation_text, text]))
    if record is None:
        state, record = _begin(plan, folder, inputs, initial, sources, device)
    else:
        state = _reopen(plan, record, initial, device)
    plan = resolved(plan, record.settings)
    baselines = Baselines(text)
    validation = Validation(plan, validation_text, baselines, device)
    if not validation.sequences:
        console.warn("the corpus has no validation part long enough for one sequence: nothing is validated")
    checkpoints = Checkpoints(folder.checkpoints, text.tokenizer, plan.longest, inputs)
    run = Run(plan, folder, device, state, sources, validation, baselines, checkpoints, Interval())
    run.require_space()
    run.restore()
    return run


def _begin(
    plan: PretrainingPlan,
    folder: RunFolder,
    inputs: dict[str, str],
    initial: Callable[[], Model],
    sources: list[Batches],
    device: Device,
) -> tuple[State, Record]:
    """Settle what is left to choose, and write it down before anything is trained."""
    settings = settle(plan, initial, sources, device)
    state, settings = build_state(plan, settings, initial, device)
    final = resolved(plan, settings)
    record = Record(plan.values(), final.values(), inputs, settings, machine_facts(device.torch_device))
    device.on_main(lambda: folder.start(plan, record))
    _introduce(plan, settings, state)
    continuing = advice_for_continuing(plan.model, plan.training) if inputs["initial model"] else ""
    for advice in filter(None, (plan.recipe_advice, continuing)):
        console.say(advice)
    return state, record


def _reopen(plan: PretrainingPlan, record: Record, initial: Callable[[], Model], device: Device) -> State:
    """The state as the run was started, with the settings it was started with."""
    settings = record.settings
    set_up_cpu(settings.threads, device.local_world)
    set_fp32_backend(settings.fp32_backend)
    changed = broken_promises(record, machine_facts(device.torch_device), device.world)
    state, now = build_state(plan, settings, initial, device)
    if now.compiled != settings.compiled:
        changed.append("compiled -> not compiled")
    if changed:
        console.warn(f"{'; '.join(changed)}: the run goes on, but no longer bit for bit")
    return state


def _introduce(plan: PretrainingPlan, settings: Settings, state: State) -> None:
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    kind = f"{settings.precision}, {'compiled' if settings.compiled else 'not compiled'}"
    console.say(
        f"{plan.recipe_name or 'model'}: {console.count(parameters)} parameters, {settings.steps} steps of"
        f" {plan.training.batch_size} sequences, {kind}, {settings.threads} threads, {settings.world} rank(s)"
    )
