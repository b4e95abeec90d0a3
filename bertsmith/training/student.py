"""A student from its teacher's weights: which layers it takes, and what it needs of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import CONFIG, load_model
from bertsmith.models.huggingface import config_from_json
from bertsmith.models.model import Model
from bertsmith.models.untrusted import read_config, regular_file
from bertsmith.objectives.config import DistillationConfig
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.training.starting import require_same_vocabulary

INHERITED = (
    *("embedding_size", "hidden_size", "heads", "intermediate_size", "max_positions", "activation", "layer_norm_eps"),
)
"""Fields in which a student that starts from its teacher's layers is like it."""

POSITIONS = "encoder.embeddings.positions.weight"


def teacher_config(folder: Path) -> EncoderConfig:
    """The encoder of a teacher's model folder. Errors as in load_model."""
    path = regular_file(folder, CONFIG)
    return config_from_json(read_config(path), path).resolved()


def inherited_fields(config: DistillationConfig, teacher: EncoderConfig) -> dict[str, Any]:
    """The fields of [model] that a student takes over with its teacher's layers, by name; none without any layer."""
    teacher = teacher.resolved()
    return {} if config.initial == "random" else {name: getattr(teacher, name) for name in INHERITED}


def load_teacher(folder: Path, tokenizer: Tokenizer) -> Model:
    """The teacher of a model folder, fp32 on the CPU, with the vocabulary of a corpus' tokenizer or a larger one.

    UsageError when its tokenizer is another one: ids would mean other tokens.
    """
    model = load_model(folder, foreign_heads=True)
    require_same_vocabulary(folder, Tokenizer.load(folder), tokenizer)
    if model.config.vocab_size < tokenizer.vocab_size:
        raise UsageError(
            f"{folder}: the teacher knows {model.config.vocab_size} tokens, the corpus has {tokenizer.vocab_size}; "
            f"prepare the corpus with --tokenizer {folder}"
        )
    return model


def chosen_layers(config: DistillationConfig, wanted: int, available: int) -> list[int]:
    """Which of the teacher's `available` layers the student's `wanted` ones start from, counted from 0.

    Spread evenly, 6 of 12 are 0, 2, 4, 7, 9 and 11, as released. UsageError when there are not enough.
    """
    if config.initial_layers:
        if len(config.initial_layers) != wanted:
            raise UsageError(
                f"objectives.distillation.initial_layers: names {len(config.initial_layers)} layers, the student has "
                f"{wanted}"
            )
        wrong = [layer for layer in config.initial_layers if not 0 <= layer < available]
        if wrong:
            raise UsageError(
                f"objectives.distillation.initial_layers: {wrong[0]}, but the teacher's {available} layers are counted "
                f"from 0 to {available - 1}"
            )
        return list(config.initial_layers)
    if wanted > available:
        raise UsageError(
            f"model.layers: the student has {wanted} and its teacher {available}; give it fewer, or random weights "
            "(objectives.distillation.initial random)"
        )
    if config.initial == "first":
        return list(range(wanted))
    if config.initial == "last":
        return list(range(available - wanted, available))
    if config.initial == "every_other":
        if 2 * wanted > available + 1:
            raise UsageError(
                f"objectives.distillation.initial: every other of {available} layers are fewer than the student's "
                f'{wanted}; take "spread"'
            )
        return list(range(0, 2 * wanted, 2))
    last = available - 1
    return [round(place * last / max(wanted - 1, 1)) for place in range(wanted)]


def layers_from(student: EncoderConfig, teacher: EncoderConfig, config: DistillationConfig) -> list[int]:
    """The teacher's layers that a student starts from; UsageError naming the field in which the two do not fit."""
    _require_fitting(student, teacher)
    return chosen_layers(config, student.layers, teacher.layers)


def check_fitting(student: EncoderConfig, teacher: EncoderConfig, config: DistillationConfig, longest: int) -> None:
    """UsageError naming the field in which a student without weights of its own does not fit its teacher.

    longest: tokens of its longest sequence.
    """
    check_length(teacher, longest)
    if config.initial != "random":
        layers_from(student.resolved(), teacher.resolved(), config)


def check_length(teacher: EncoderConfig, longest: int) -> None:
    """UsageError where a teacher cannot read the longest sequence."""
    if longest > teacher.max_positions:
        raise UsageError(f"cut.length: {longest} tokens, but the teacher reads {teacher.max_positions} at the most")


def take_from_teacher(student: Model, teacher: Model, config: DistillationConfig) -> None:
    """Copy into the student what it has in common with its teacher: embeddings, the chosen layers, heads.

    Where the student has no token types, the teacher's type 0 is added to the positions, so that a student of all
    layers gives the teacher's own states. UsageError naming the field in which the two do not fit.
    """
    layers = layers_from(student.config, teacher.config, config)
    given = {name: parameter.detach() for name, parameter in teacher.named_parameters()}
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            source = given.get(_name_in_teacher(name, layers))
            if name == POSITIONS:
                parameter.copy_(_positions(student, teacher, given))
            elif source is not None:  # rows of the vocabulary beyond the tokenizer's are left behind
                parameter.copy_(source[: len(parameter)])


def _name_in_teacher(name: str, layers: Sequence[int]) -> str:
    parts = name.split(".")
    if parts[:2] == ["encoder", "layers"]:
        parts[2] = str(layers[int(parts[2])])
    return ".".join(parts)


def _positions(student: Model, teacher: Model, given: dict[str, Tensor]) -> Tensor:
    """(positions, width): those of the teacher, from the row at which the student's count begins."""
    own, other = student.encoder.embeddings, teacher.encoder.embeddings
    rows = given[POSITIONS]
    if other.types is not None and own.types is None:
        rows = rows + other.types.weight.detach()[0]
    first = other.position_offset - own.position_offset
    if first < 0:  # rows in front that no token reads
        rows = torch.cat([rows.new_zeros(-first, rows.shape[1]), rows])
    return rows[max(first, 0) :][: own.positions.num_embeddings]


def _require_fitting(own: EncoderConfig, other: EncoderConfig) -> None:
    for name in INHERITED:
        has, wants = getattr(own, name), getattr(other, name)
        if has != wants and not (name == "max_positions" and has < wants):
            raise UsageError(
                f"model.{name}: is {has} in the student and {wants} in its teacher, whose layers it cannot start from; "
                "choose the same, or random weights (objectives.distillation.initial random)"
            )
    for who, config in (("student", own), ("teacher", other)):
        if config.sharing != "none" or config.inner_groups != 1:
            raise UsageError(
                f"model.sharing: the layers of the {who} share weights, so none can be taken one by one; choose random "
                "weights (objectives.distillation.initial random)"
            )
