"""Pretraining in one run folder: begin, go on, or say that it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bertsmith import console
from bertsmith.config import to_values
from bertsmith.data.batches import PAIR
from bertsmith.data.mixture import Batches, CorpusShare, MixedCorpus, open_mixed, sequences_of
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.huggingface import require_padding
from bertsmith.models.model import Model
from bertsmith.training.advice import advice_for_continuing, advice_for_pairs, advice_for_rows
from bertsmith.training.budget import bounded, phase_ends, steps_for
from bertsmith.training.checkpoint import Checkpoints
from bertsmith.training.device import Device, open_device
from bertsmith.training.environment import Record, Settings
from bertsmith.training.initial import initial_model, input_fingerprints
from bertsmith.training.logs import Interval
from bertsmith.training.measurement import cost_of
from bertsmith.training.opening import begin, enter, find, reopen
from bertsmith.training.plan import PretrainingPlan, batches_from, open_sources
from bertsmith.training.pretraining_run import PretrainingResult, PretrainingRun
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.setup import build_state
from bertsmith.training.student import check_length, load_teacher
from bertsmith.training.teacher_cache import open_cache
from bertsmith.training.validation import Baselines, Validation, probe_batches
from bertsmith.training.work import Work, resolved_training


def pretrain(
    plan: PretrainingPlan,
    corpus: Path | Sequence[CorpusShare],
    out: Path,
    init: Path | None = None,
    teacher: Path | None = None,
) -> PretrainingResult:
    """Train a model on a corpus folder, or several in shares, into the run folder `out`, or go on with the run there.

    The same call again resumes an unfinished run bit for bit and returns the result of a finished one. `init`: a model
    folder whose weights to start from. `teacher`: a model folder to distil. Under torchrun every rank calls it.
    Raises UsageError (another plan, corpus or initial model than the run there; a plan that contradicts itself),
    Stopped or Interrupted after a signal, with a checkpoint saved, and BertsmithError when training fails.
    """
    folder = RunFolder(Path(out))
    with open_device() as device, ExitStack() as stack:
        shares = [CorpusShare(corpus)] if isinstance(corpus, Path) else corpus
        text = open_mixed(shares, verify=True)  # a flipped bit would otherwise be learnt in silence
        device.on_main(lambda: enter(stack, folder))
        plan = replace(plan, model=replace(plan.model, vocab_size=text.tokenizer.vocab_size).resolved())
        plan.check()
        _require_teacher(plan, teacher)
        require_padding(plan.model, text.tokenizer.special.pad)
        inputs = input_fingerprints(text, init, teacher)
        found = find(folder, plan, inputs, device)
        if found.result:
            console.say(f"{folder.path}: this run is finished")
            return PretrainingResult(**found.result)
        try:
            held_out = open_mixed(shares, "validation")
            run = _open_run(plan, text, held_out, folder, found.record, inputs, init, teacher, device)
            return PretrainingResult(**run.train())
        except torch.OutOfMemoryError as error:
            raise BertsmithError(
                "out of memory; set training.micro_batch to a part of training.batch_size (same result, less memory)"
                " or training.activation_checkpointing to true"
            ) from error


def _require_teacher(plan: PretrainingPlan, teacher: Path | None) -> None:
    if plan.objectives.distils and teacher is None:
        raise UsageError("--teacher is missing: objectives.use has distillation; name a run or a model folder")
    if teacher is not None and not plan.objectives.distils:
        raise UsageError(
            "--teacher: the recipe distils nothing; choose a distil recipe, or add distillation to objectives.use"
        )


def _open_run(
    plan: PretrainingPlan,
    text: MixedCorpus,
    validation_text: MixedCorpus,
    folder: RunFolder,
    record: Record | None,
    inputs: dict[str, str],
    init: Path | None,
    teacher: Path | None,
    device: Device,
) -> PretrainingRun:
    """Everything up to step 1, or up to the step resumed from."""
    sources = open_sources(plan, text, device, folder.plans)
    for source in sources:
        source.steps_per_epoch(0)  # a corpus smaller than one batch is an error now, not at step 1
    if len(text.corpora) > 1:
        sizes = sequences_of(text.shares, plan.training.batch_size)
        parts = " and ".join(f"{size} of {name}" for name, size in zip(text.names, sizes, strict=True))
        console.say(f"the {plan.training.batch_size} sequences of a step are {parts}")
    initial = initial_model(plan, text, init, lambda: probe_batches(plan, [validation_text, text]), teacher)
    held_out = sum(corpus.tokens for corpus in validation_text.corpora)
    work = work_of(plan, inputs, initial, sources, device, _loader_of(teacher, plan, text), held_out)
    if record is None:
        advise = partial(_advice, plan, bool(inputs["initial model"]), sources)
        state, settings = begin(work, folder, lambda settings: resolved(plan, settings), device, advise)
    else:
        state, settings = reopen(work, record, device)
    plan = resolved(plan, settings)
    training = plan.training
    ends = phase_ends(training.steps, plan.long_phase)
    cache = open_cache(plan, sources, ends, state, folder, device, fresh=record is None)
    baselines = Baselines(text, plan.masking.rarity)
    validations = [Validation(phase, validation_text, baselines, device) for phase in plan.phases]
    for phase, validation in zip(plan.phases, validations, strict=True):
        if not validation.sequences:
            console.warn(
                "the corpus has no validation part long enough for one sequence of"
                f" {phase.cut.length} tokens: nothing is validated with these"
            )
    run = PretrainingRun(
        training,
        folder,
        device,
        state,
        lambda start: batches_from(sources, ends, start, training.workers),
        Checkpoints(folder.checkpoints, text.tokenizer, plan.longest, inputs),
        Interval(),
        validations=validations,
        ends=ends,
        baselines=baselines,
        cache=None if cache is None else cache.file,
        other_bytes=0 if cache is None else cache.missing_bytes,
    )
    run.require_space()
    run.restore()
    return run


def _advice(plan: PretrainingPlan, trained: bool, sources: Sequence[Batches], settings: Settings) -> list[str]:
    """Lines, some of them empty. trained: whether the weights come from another model."""
    rows = "" if trained else advice_for_rows(plan, settings.steps)
    continuing = advice_for_continuing(plan.model, plan.training) if trained else ""
    one_sided = advice_for_pairs(sources[-1], plan.longest) if PAIR in plan.heads else ""
    return [plan.recipe_advice, continuing, rows, one_sided]


def _loader_of(teacher: Path | None, plan: PretrainingPlan, text: MixedCorpus) -> Callable[[], Model] | None:
    """Reads the teacher anew each time: steps in other number formats are tried before the run has its own."""
    if teacher is None:
        return None
    check_length(load_teacher(teacher, text.tokenizer).config, plan.longest)
    return lambda: load_teacher(teacher, text.tokenizer)


def work_of(
    plan: PretrainingPlan,
    inputs: dict[str, str],
    initial: Callable[[], Model],
    sources: list[Batches],
    device: Device,
    teacher: Callable[[], Model] | None = None,
    held_out: int = 0,
) -> Work:
    """The plan as everything that is shared by all kinds of training sees it. held_out: tokens to validate on."""
    budgeted = bounded(plan.training, held_out, plan.longest)
    return Work(
        plan,
        inputs,
        sources,
        lambda settings: build_state(plan, settings, initial, device, teacher),
        lambda seconds: steps_for(budgeted, plan.long_phase, sources, seconds),
        [*cost_of(plan), to_values(teacher().config)] if teacher else cost_of(plan),
        title=plan.recipe_name or "model",
    )


def resolved(plan: PretrainingPlan, settings: Settings) -> PretrainingPlan:
    """The plan with its budget in steps and nothing left to be chosen."""
    return replace(plan, training=resolved_training(plan.training, settings))
