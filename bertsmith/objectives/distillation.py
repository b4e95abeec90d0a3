"""Learning from a teacher: its distribution over the vocabulary, the direction of its states, its relations.

DistilBERT (Sanh et al., 2019) adds 5 x the distance of the distributions at temperature 2, 2 x the loss of the masked
tokens and 1 x the angle between the last hidden states. MiniLMv2 (Wang et al., 2020) learns relations alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import UsageError
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.config import DistillationConfig
from bertsmith.objectives.masked_lm import MaskedLM, filled_up
from bertsmith.objectives.objective import Score, count_targets
from bertsmith.objectives.relations import relation_loss
from bertsmith.objectives.vocabulary_kl import vocabulary_kl

DISTILLATION = "distillation"


class Distillation:
    """What a student learns of its teacher's view of the very batch that it sees itself, masks included.

    A Score's loss is the weighted sum over positions (`config.positions`) of all parts; correct are the positions where
    both find the same token likeliest, 0 where the distributions are not compared.
    """

    name = DISTILLATION
    weight = 1.0

    def __init__(self, config: DistillationConfig, student: Model, teacher: Model) -> None:
        """teacher: on the student's device and in its number format; it is never trained. UsageError when the two
        cannot be compared as the config asks.
        """
        config.check()
        self.config = config
        self.heads: tuple[str, ...] = heads_of(config)
        self.teacher = teacher.requires_grad_(False).eval()
        _require_comparable(config, student, teacher)
        if config.relations:
            student.encoder.kept_layer = len(student.encoder.layers) - 1
            teacher.encoder.kept_layer = (config.relation_layer or len(teacher.encoder.layers)) - 1

    def count(self, batch: Batch) -> int:
        """Positions at which something is compared."""
        if self.config.positions == "masked":
            return count_targets(batch, MaskedLM.name)
        return batch.token_ids.numel()

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """See the class."""
        config, teacher = self.config, self.teacher
        with torch.no_grad():
            taught = teacher(batch)
        rows = batch.targets[MaskedLM.name].rows if config.positions == "masked" else None
        count = self.count(batch)
        given_states, taught_states = (_at(rows, states.hidden_states) for states in (encoded, taught))
        loss = torch.zeros((), dtype=torch.float32, device=given_states.device)
        agreed = torch.zeros((), dtype=torch.int64, device=given_states.device)
        if config.kl:
            distance, agreed = self._distance(model, given_states, taught_states)
            loss = loss + config.kl * distance
        if config.cosine:
            angles = F.cosine_similarity(given_states.float(), taught_states.float(), dim=-1)
            loss = loss + config.cosine * (count - angles.sum())
        if config.relations:
            related = relation_loss(model, encoded, teacher, taught, batch, config.relation_heads)
            loss = loss + config.relations * related * (count / batch.token_ids.numel())
        return Score(loss, agreed, count)

    def _distance(self, model: Model, given: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        head, words = model.masked_lm_head()
        with torch.no_grad():
            their_head, their_words = self.teacher.masked_lm_head()
            features = their_head.features(filled_up(taught))[: len(taught)]
        found = vocabulary_kl(
            head.features(filled_up(given))[: len(given)],
            words,
            head.bias,
            (features, their_words, their_head.bias),
            self.config.temperature,
        )
        return found.loss, found.correct


def heads_of(config: DistillationConfig) -> tuple[str, ...]:
    """The heads that a student needs for its teacher's sake."""
    return ("masked_lm",) if config.kl else ()


def _at(rows: Tensor | None, states: Tensor) -> Tensor:
    return states if rows is None else states.index_select(0, rows)


def _require_comparable(config: DistillationConfig, student: Model, teacher: Model) -> None:
    own, other = student.config, teacher.config
    if config.cosine and own.hidden_size != other.hidden_size:
        raise UsageError(
            f"objectives.distillation.cosine: states of width {own.hidden_size} and {other.hidden_size} have no angle; "
            "set it to 0 (relations compare any two widths)"
        )
    if config.kl and "masked_lm" not in teacher.heads:
        raise UsageError("objectives.distillation.kl: the teacher has no head for masked tokens; set it to 0")
    if not config.relations:
        return
    for who, width in (("student", own.hidden_size), ("teacher", other.hidden_size)):
        if width % config.relation_heads:
            raise UsageError(
                f"objectives.distillation.relation_heads: {config.relation_heads} do not divide {width}, "
                f"the width of the {who}"
            )
    if config.relation_layer > len(teacher.encoder.layers):
        raise UsageError(
            f"objectives.distillation.relation_layer: {config.relation_layer}, but the teacher has "
            f"{len(teacher.encoder.layers)} layers"
        )
