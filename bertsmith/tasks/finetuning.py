"""Fine-tuning in one run folder: begin, go on, or say that it is done."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bertsmith import config, console, store
from bertsmith.data.labelled import Kind, LabelledSource
from bertsmith.data.loader import stream
from bertsmith.errors import BertsmithError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import CONFIG
from bertsmith.models.huggingface import config_from_json
from bertsmith.models.model import Model
from bertsmith.models.task_models import RAW, Scale, new_task_model, start_task_model
from bertsmith.models.untrusted import read_config, regular_file
from bertsmith.tasks.encoding import Encoded, encode_part, encoder_for, head_for
from bertsmith.tasks.evaluation import longest_sequence
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.job import Job, Judge, validation_part
from bertsmith.tasks.task_objectives import objective_of
from bertsmith.tasks.teacher import DistillationPlan, Teacher, find_teacher
from bertsmith.tasks.trained import FILES, longest, model_folder, require_embeddings
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.training.budget import steps_for, tokens_per_step
from bertsmith.training.checkpoint import Checkpoints
from bertsmith.training.chosen_rows import rows_worth_choosing
from bertsmith.training.config import LongPhaseConfig
from bertsmith.training.device import Device, open_device
from bertsmith.training.environment import Record, Settings
from bertsmith.training.finetuning import (
    FinetuningPlan,
    FinetuningResult,
    FinetuningRun,
    remove_leftovers,
    validation_interval,
)
from bertsmith.training.logs import Interval
from bertsmith.training.opening import begin, enter, find, reopen
from bertsmith.training.optimizers import layer_rates
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.setup import blank_batch, prepare_state
from bertsmith.training.state import State
from bertsmith.training.work import Work, resolved_training

BRIEF_OPERATIONS = 2e13  # of a whole run: a minute or so on two cores, of which measuring would take a tenth
SIMCSE_DROPOUT = 0.1  # where a model has none (Gao et al., 2021); without it both views of a sentence are the same
LONGEST_SHOWN = 64  # tokens of the sequences that the compiler sees first


@dataclass(frozen=True)
class _Start:
    """The models that training starts from and learns from. max_length: tokens of a sequence of the task. scale: of a
    regression. head: None = the encoder alone is trained.
    """

    folder: Path
    shape: EncoderConfig
    tokenizer: Tokenizer
    positions: int
    max_length: int
    head: TaskHead | None
    scale: Scale
    random: bool
    teacher: Teacher | None

    @property
    def kind(self) -> Kind:
        """Of the training examples."""
        return self.head.kind if self.head else "pair"


def finetune_once(job: Job, start: Path, out: Path, *, random: bool = False) -> FinetuningResult:
    """Fine-tune the model of a folder (a run, or any of a supported family) into the run folder `out`, or go on there.

    The same call again resumes an unfinished run bit for bit and returns the result of a finished one. random: of the
    folder only the shape and the tokenizer are taken, and training starts from random weights. Under torchrun every
    rank calls it. Raises UsageError (another job or model than the run there; a config that contradicts itself; a
    teacher that does not fit), Stopped or Interrupted after a signal, with a checkpoint saved, and BertsmithError when
    training fails.
    """
    folder = RunFolder(Path(out))
    job.config.training.check()
    with open_device() as device, ExitStack() as stack:
        begun = _look_at(job, start, random)
        device.on_main(lambda: enter(stack, folder))
        plan = _plan(job, random)
        inputs = {**job.inputs, **_fingerprints(begun)}
        found = find(folder, plan, {"teacher": "", **inputs}, device)
        if found.result:
            remove_leftovers(folder.best, folder.checkpoints)
            console.say(f"{folder.path}: this run is finished")
            return FinetuningResult(**found.result)
        try:
            run = _open_run(job, plan, begun, folder, found.record, inputs, device)
            return FinetuningResult(**run.train())
        except torch.OutOfMemoryError as error:
            raise BertsmithError(
                "out of memory; set task.tokens_at_once lower (same result, less memory) or"
                " training.activation_checkpointing to true"
            ) from error


def shape_of(start: Path) -> EncoderConfig:
    """The shape of the encoder in a run or model folder, from its config.json alone. Errors as in `load_trained`."""
    path = regular_file(model_folder(Path(start)), CONFIG)
    return config_from_json(read_config(path), path)


def _look_at(job: Job, start: Path, random: bool) -> _Start:
    folder = model_folder(Path(start))
    store.verify_files(folder, FILES)
    shape, tokenizer = shape_of(folder), Tokenizer.load(folder)
    require_embeddings(folder, tokenizer, shape.vocab_size)
    positions = longest(folder, shape.max_positions)
    length = longest_sequence(job.task.type, job.config.task, positions)
    head = head_for(job.task, job.labels)
    teacher = find_teacher(job.teacher, job.task, head, tokenizer, length) if job.teacher and head else None
    return _Start(folder, shape, tokenizer, positions, length, head, _scale_of(job), random, teacher)


def _scale_of(job: Job) -> Scale:
    """Mean and deviation of the training scores: steps as small as here never lead a head to scores of thousands."""
    if job.task.type != "regression":
        return RAW
    scores = np.array([example.label for example in job.train], dtype=np.float64)
    return Scale(float(scores.mean()), float(scores.std()) or 1.0)


def _plan(job: Job, random: bool) -> FinetuningPlan:
    task = {"name": job.task.name, "labels": list(job.labels), "random_weights": random}
    values = {**task, **config.to_values(job.config.task)}
    asked = job.name, job.config.seed, job.config.training, values, type(job.config.task)
    return DistillationPlan(*asked, job.config.distillation) if job.teacher else FinetuningPlan(*asked)


def _fingerprints(start: _Start) -> dict[str, str]:
    weights = "" if start.random else store.hash_file(start.folder / "model.safetensors")
    found = {"tokenizer": start.tokenizer.fingerprint, "initial model": weights}
    return {**found, "teacher": start.teacher.fingerprint} if start.teacher else found


def _open_run(
    job: Job,
    plan: FinetuningPlan,
    start: _Start,
    folder: RunFolder,
    record: Record | None,
    inputs: Mapping[str, str],
    device: Device,
) -> FinetuningRun:
    """Everything up to step 1, or up to the step resumed from."""
    settings_of_task, training = replace(job.config.task, max_length=start.max_length), plan.training
    encoder = encoder_for(job.task, start.head, start.tokenizer, start.max_length, job.config.task)
    encoded = encode_part(encoder, job.train)
    _tell(encoded, job, start.max_length)
    examples = encoded.examples
    if start.scale != RAW:
        center, spread = start.scale
        examples = [one._replace(labels=((one.labels - center) / spread).astype(np.float32)) for one in examples]
    source = LabelledSource(
        examples,
        start.kind,
        training.batch_size,
        plan.seed,
        device.rank,
        device.world,
        training.micro_batch,
        job.config.task.tokens_at_once,
    )
    judge = Judge(job, encoder, validation_part(job.validation, training), settings_of_task, start.scale, device)
    work = _work(job, plan, start, source, inputs, device)
    epoch = source.steps_per_epoch(0)

    def resolve(settings: Settings) -> FinetuningPlan:
        settled = resolved_training(training, settings)
        settled = replace(settled, validate_every=validation_interval(training, settings.steps, epoch))
        return replace(plan, training=settled, task={**plan.task, "max_length": start.max_length})

    state, settings = reopen(work, record, device) if record else begin(work, folder, resolve, device)
    resolved = resolve(settings)
    run = FinetuningRun(
        resolved.training,
        folder,
        device,
        state,
        lambda step: stream(source, step, settings.steps, training.workers),
        Checkpoints(folder.checkpoints, start.tokenizer, max(start.positions, start.max_length), inputs),
        Interval(),
        validate=judge,
        metrics=job.task.metrics,
        patience=job.config.task.patience,
        steps_per_epoch=epoch,
        finish_model=judge.write_settings,
        truncated=encoded.truncated,
        scale=start.scale,
    )
    run.require_space()
    run.restore()
    return run


def _tell(encoded: Encoded, job: Job, max_length: int) -> None:
    if encoded.truncated:
        what = "questions" if job.task.type == "answering" else "examples"
        console.warn(
            f"{encoded.truncated:,} of {len(job.train):,} training {what} are longer than the {max_length} tokens of a"
            " sequence leave room for, and were cut"
        )
    if encoded.unplaced:
        console.warn(f"{encoded.unplaced:,} of {len(job.train):,} training examples have no answer in their context")


def _work(
    job: Job,
    plan: FinetuningPlan,
    start: _Start,
    source: LabelledSource,
    inputs: Mapping[str, str],
    device: Device,
) -> Work:
    training = plan.training
    initial = _initial_model(job, start)
    objective = objective_of(job.config, source, start.head, start.teacher, start.scale)
    lengths = [min(LONGEST_SHOWN, start.max_length)] * min(8, training.batch_size)
    used = torch.from_numpy(source.token_ids())
    kinds = (lengths, [*lengths[1:], lengths[0] - 1], lengths[:1])
    shown = [blank_batch(kind, int(used[0])) for kind in kinds]
    budgeted = replace(
        training,
        validation_sequences=max(1, len(job.validation)),
        validate_every=training.validate_every or source.steps_per_epoch(0),
    )

    def build(settings: Settings) -> tuple[State, Settings]:
        model = initial()
        rates = layer_rates(model, job.config.task.layer_decay) if job.config.task.layer_decay < 1 else None
        rows = rows_worth_choosing(model, used) if training.optimizer != "lamb" else None
        learnt = [objective(settings.precision, device)]
        return prepare_state(model, learnt, training, plan.seed, settings, device, shown, rates, rows)

    def count(seconds: Sequence[float]) -> int:
        return steps_for(budgeted, LongPhaseConfig(), [source], seconds)

    tokens = tokens_per_step(source)
    cost = [config.to_values(start.shape), start.kind, training.batch_size, int(np.log2(tokens))]
    weights = 6.0 * _weights_in_use(start.shape)
    if start.teacher:
        cost.append(config.to_values(start.teacher.shape))
        weights += 2.0 * _weights_in_use(start.teacher.shape)
    operations = weights * tokens * (0 if training.minutes else count([]))
    brief = training.minutes * 60 < 60 and operations < BRIEF_OPERATIONS
    return Work(plan, dict(inputs), [source], build, count, cost, brief, title=job.name, unit="examples")


def _weights_in_use(shape: EncoderConfig) -> int:
    """Weights that every token meets: those of the layers, shared ones as often as they run."""
    layer = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * (shape.intermediate_size or 4 * shape.hidden_size)
    return layer * shape.layers * shape.inner_groups


def _initial_model(job: Job, start: _Start) -> Callable[[], Model]:
    """A function that makes the model as it is before step 1, the same one each time."""
    dropout = _dropout(job.config.task, start.shape)
    if start.random:
        shape = replace(start.shape, dropout=dropout, attention_dropout=dropout) if dropout is not None else start.shape
        model = new_task_model(shape, start.head, job.config.seed)
    else:
        model = start_task_model(start.folder, start.head, job.config.seed, dropout=dropout, scale=start.scale)
    return lambda: copy.deepcopy(model)


def _dropout(task: TaskConfig, shape: EncoderConfig) -> float | None:
    """Dropout while fine-tuning; None = as the model was pretrained with."""
    if task.dropout >= 0:
        return task.dropout
    return SIMCSE_DROPOUT if task.objective == "simcse" and not shape.dropout else None
