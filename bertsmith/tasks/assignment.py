"""What is to be fine-tuned: everything known before anything is trained. Heavy imports stay inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import config, store
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.tasks.finetuning_config import FinetuningConfig, finetuning_config
from bertsmith.tasks.search import Search, Trial

if TYPE_CHECKING:
    from bertsmith.models.config import EncoderConfig
    from bertsmith.tasks.parts import Parts
    from bertsmith.tasks.task import Task
    from bertsmith.tasks.user_table import Columns

DISTILLATION = "distillation."


@dataclass(frozen=True)
class Assignment:
    """encoder: the shape of the model in `start`. labels: see parts.labels_of. teacher: None = labels alone are learnt.

    fingerprints: of the data, of the model and of the teacher, by name.
    """

    task: Task
    columns: Columns | None
    data: Path
    parts: Parts
    labels: tuple[str, ...]
    start: Path
    encoder: EncoderConfig
    teacher: Path | None
    flags: Flags
    config: FinetuningConfig
    fingerprints: dict[str, str]

    @property
    def validation(self) -> list[Any]:
        """The part that decides."""
        return next(iter(self.parts.validation.values()))

    def config_of(self, trial: Trial) -> FinetuningConfig:
        """The config of one trial: the flags, over them its settings and its seed."""
        flags = {key.replace("-", "_"): value for key, value in self.flags.items()}
        flags |= {**trial.settings, "seed": trial.seed}
        return _config_for(self.task, self.encoder, self.parts, self.labels, flags)

    def request(self, chosen: Search) -> dict[str, Any]:
        """What this line asks for, as JSON; the same line again asks for the same."""
        values = config.to_values(self.config)
        if self.teacher is None:
            del values["distillation"]
        return {
            "task": self.task.name,
            "columns": asdict(self.columns) if self.columns else {},
            **{name: {"fingerprint": found} for name, found in self.fingerprints.items()},
            "config": values,
            "seeds": chosen.seeds,
            "grid": list(chosen.grid),
            "baselines": chosen.baselines,
        }


def read_assignment(
    task: str,
    model: Path,
    data: Path,
    columns: Columns | None,
    teacher: Path | None,
    flags: Flags,
    validation: Path | None = None,
) -> Assignment:
    """Read the data, look at the models. Arguments as in `finetuning.finetune`.

    Raises UsageError or BertsmithError, one line, for whatever is missing, damaged or does not fit together.
    """
    from bertsmith.models.untrusted import regular_file
    from bertsmith.tasks import sentence_pairs, user_table
    from bertsmith.tasks.finetuning import shape_of
    from bertsmith.tasks.naming import task_for
    from bertsmith.tasks.pair_parts import judge_by, read_pair_parts
    from bertsmith.tasks.parts import labels_of, read_parts
    from bertsmith.tasks.table_parts import read_table_parts
    from bertsmith.tasks.trained import model_folder

    start = model_folder(model)
    encoder = shape_of(start)
    if task == sentence_pairs.NAME and teacher:
        raise UsageError(f"--teacher: {task} is learnt from the data alone")
    if task != sentence_pairs.NAME and validation:
        raise UsageError(f"--validation: {task} has a validation part of its own; it is for {sentence_pairs.NAME}")
    found, columns = task_for(task, data, columns)
    early = finetuning_config(found, encoder.hidden_size, 1, flags)
    readers = {user_table.NAME: read_table_parts, sentence_pairs.NAME: read_pair_parts}
    parts = readers.get(task, read_parts)(found, data, early.seed, 0.0 if validation else early.task.validation_share)
    if validation:
        found, parts = judge_by(found, parts, validation)
    if not parts.validation:
        raise UsageError(f"{data}: there is nothing to validate on; task.validation_share holds some examples out")
    labels = labels_of(found, parts.train)
    final = _config_for(found, encoder, parts, labels, flags)
    fingerprints = {
        "data": store.fingerprint(_plain(parts)),
        "model": store.hash_file(regular_file(start, "model.safetensors")),
    }
    if teacher:
        fingerprints["teacher"] = _look_at_teacher(teacher, found, labels, start, encoder, final)
    return Assignment(found, columns, data, parts, labels, start, encoder, teacher, flags, final, fingerprints)


def _config_for(
    task: Task, encoder: EncoderConfig, parts: Parts, labels: tuple[str, ...], flags: Flags
) -> FinetuningConfig:
    return finetuning_config(task, encoder.hidden_size, len(parts.train), flags, len(labels))


def require_teacher(asked: Sequence[str]) -> None:
    """UsageError when a field that only a teacher gives a meaning is among those asked for."""
    key = next((key for key in asked if key.startswith(DISTILLATION)), "")
    if key:
        raise UsageError(f"--{key}: says how a teacher's answers are learnt; name the teacher with --teacher MODEL")


def _plain(parts: Parts) -> list[Any]:
    """What is learnt and judged from, without the places it was read from."""
    every = [parts.train, *parts.validation.values()]
    return [[repr(tuple(example[1:])) for example in examples] for examples in every]


def _look_at_teacher(
    path: Path, task: Task, labels: tuple[str, ...], start: Path, encoder: EncoderConfig, wanted: FinetuningConfig
) -> str:
    """The hash of the teacher's weights; raises as `find_teacher` when it does not fit."""
    from bertsmith.tasks.encoding import head_for
    from bertsmith.tasks.evaluation import longest_sequence
    from bertsmith.tasks.teacher import find_teacher
    from bertsmith.tasks.trained import longest
    from bertsmith.tokenizers.tokenizer import Tokenizer

    length = longest_sequence(task.type, wanted.task, longest(start, encoder.max_positions))
    head = head_for(task, labels)
    assert head is not None, "who learns similarity has no teacher"
    return find_teacher(path, task, head, Tokenizer.load(start), length).fingerprint
