"""Learning from a teacher: its distribution over the vocabulary, its states, its relations and its attention.

DistilBERT (Sanh et al., 2019) adds 5 x the distance of the distributions at temperature 2, 2 x the loss of the masked
tokens and 1 x the angle between the last hidden states. MiniLMv2 (Wang et al., 2020) learns relations alone, TinyBERT
(Jiao et al., 2020) hidden states of all layers through a projection, and attention scores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import UsageError
from bertsmith.models.encoder import Encoded
from bertsmith.models.layout import filled_rows
from bertsmith.models.model import Model
from bertsmith.objectives.config import DistillationConfig
from bertsmith.objectives.hidden_states import hidden_loss, matched_layers, new_projections, states_after
from bertsmith.objectives.likeliest import Likeliest, Records, from_records, likeliest, likeliest_kl, to_records
from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.objectives.objective import Score, count_targets
from bertsmith.objectives.relations import Inside, attention_loss, relation_loss
from bertsmith.objectives.teacher_cache import TeacherCache
from bertsmith.objectives.vocabulary_kl import vocabulary_kl
from bertsmith.objectives.vocabulary_loss import VocabularyLoss

DISTILLATION = "distillation"


class Distillation:
    """What a student learns of its teacher's view of the very batch that it sees itself, masks included.

    A Score's loss is the weighted sum over positions (`config.positions`) of all parts; correct are the positions where
    both find the same token likeliest, 0 where the distributions are not compared.

    projections: trained with the student for the hidden states, None without them. cache: of the teacher's likeliest
    words for batches whose target gives the numbers of first positions; whoever runs the training may set it.
    """

    name = DISTILLATION
    weight = 1.0

    def __init__(self, config: DistillationConfig, student: Model, teacher: Model, seed: int = 0) -> None:
        """teacher: on the student's device and in its number format; it is never trained. seed: of the projections.

        UsageError when the two cannot be compared as the config asks.
        """
        config.check()
        self.config = config
        self.heads: tuple[str, ...] = heads_of(config)
        self.teacher = teacher.requires_grad_(False).eval()
        self.cache: TeacherCache | None = None
        _require_comparable(config, student, teacher)
        own, other = len(student.encoder.layers), len(teacher.encoder.layers)
        by_layer = config.hidden or config.attention
        self._matched = matched_layers(config, own, other) if by_layer else []
        self._layers = range(1, len(self._matched) + 1)  # of the student
        self._related = own - 1, (config.relation_layer or other) - 1
        widths = student.config.hidden_size, teacher.config.hidden_size
        self.projections = new_projections(*widths, seed) if config.hidden else None
        for model, layers, related in zip(
            (student, teacher), (self._layers, self._matched), self._related, strict=True
        ):
            kept = {related} if config.relations else set()
            kept |= {number for layer in layers for number in (layer - 1, layer)} | ({0} if layers else set())
            model.encoder.kept_layers = tuple(sorted(kept))

    def count(self, batch: Batch) -> int:
        """Positions at which something is compared."""
        if self.config.positions == "masked":
            return count_targets(batch, MaskedLM.name)
        return batch.token_ids.numel()

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """See the class."""
        config = self.config
        rows = batch.targets[MaskedLM.name].rows if config.positions == "masked" else None
        count = self.count(batch)
        if config.cache_top_k:
            found = self._distance_of_likeliest(model, encoded, batch, rows)
            return Score(config.kl * found.loss, found.correct, count)
        if not config.compares:  # its layers were the start, and are all that is taken of it
            nothing = encoded.hidden_states.new_zeros((), dtype=torch.float32)
            return Score(nothing, nothing.long(), count)
        with torch.no_grad():
            taught = self.teacher(batch)
        given_states, taught_states = (_at(rows, states.hidden_states) for states in (encoded, taught))
        loss = torch.zeros((), dtype=torch.float32, device=given_states.device)
        agreed = torch.zeros((), dtype=torch.int64, device=given_states.device)
        if config.kl:
            distance, agreed = self._distance(model, given_states, taught_states)
            loss = loss + config.kl * distance
        if config.cosine:
            angles = F.cosine_similarity(given_states.float(), taught_states.float(), dim=-1)
            loss = loss + config.cosine * (count - angles.sum())
        if config.hidden:
            loss = loss + config.hidden * self._hidden(encoded, taught, rows)
        share = count / batch.token_ids.numel()  # of the positions, for what sequences are needed whole
        if config.relations:
            given_layer, taught_layer = self._inside(model, encoded, taught, *self._related)
            related = relation_loss(given_layer, taught_layer, batch, config.relation_heads)
            loss = loss + config.relations * related * share
        if config.attention:
            for layer, matched in zip(self._layers, self._matched, strict=True):
                sides = self._inside(model, encoded, taught, layer - 1, matched - 1)
                loss = loss + config.attention * attention_loss(*sides, batch) * share
        return Score(loss, agreed, count)

    def _inside(self, model: Model, given: Encoded, taught: Encoded, own: int, other: int) -> tuple[Inside, Inside]:
        return Inside(model, given, own), Inside(self.teacher, taught, other)

    def _hidden(self, given: Encoded, taught: Encoded, rows: Tensor | None) -> Tensor:
        assert self.projections is not None
        own, other = (
            [_at(rows, states) for states in states_after(encoded, layers)]
            for encoded, layers in ((given, self._layers), (taught, self._matched))
        )
        return hidden_loss(self.projections, own, other)

    def _distance(self, model: Model, given: Tensor, taught: Tensor) -> VocabularyLoss:
        head, words = model.masked_lm_head()
        their_head, their_words = self.teacher.masked_lm_head()
        return vocabulary_kl(
            head.features(filled_rows(given)),
            words,
            head.bias,
            (self._features(taught), their_words, their_head.bias),
            self.config.temperature,
            len(given),
        )

    @torch.no_grad()
    def _features(self, taught: Tensor) -> Tensor:
        """What the teacher's head makes of its states (rows, width), filled up, before they meet the vocabulary."""
        return self.teacher.masked_lm_head()[0].features(filled_rows(taught))

    def _distance_of_likeliest(
        self, model: Model, encoded: Encoded, batch: Batch, rows: Tensor | None
    ) -> VocabularyLoss:
        head, words = model.masked_lm_head()
        given = _at(rows, encoded.hidden_states)
        records = self._likeliest(batch, len(head.bias))
        taught = from_records(records, given.device)
        if rows is not None:
            taught = Likeliest(*(_at(rows, values) for values in taught))
        features = head.features(filled_rows(given))
        return likeliest_kl(features, words, head.bias, taught, self.config.temperature)

    def _likeliest(self, batch: Batch, vocabulary: int) -> Records:
        """Of every position: kept, or as it would be kept, so that it makes no difference who was asked."""

        @torch.no_grad()
        def ask() -> Records:
            head, words = self.teacher.masked_lm_head()
            features = self._features(self.teacher(batch).hidden_states)
            config = self.config
            ids, shares, rest = likeliest(
                features, words[:vocabulary], head.bias[:vocabulary], config.cache_top_k, config.temperature
            )
            count = batch.token_ids.numel()
            return to_records(ids[:count], shares[:count], rest[:count], vocabulary)

        if self.cache is None or DISTILLATION not in batch.targets:
            return ask()
        return self.cache.lookup(batch.targets[DISTILLATION].labels.tolist(), batch.lengths.tolist(), ask)


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
            "set it to 0 (relations compare any two widths, and so does hidden)"
        )
    if config.kl and "masked_lm" not in teacher.heads:
        raise UsageError("objectives.distillation.kl: the teacher has no head for masked tokens; set it to 0")
    if config.cache_top_k > own.vocab_size:
        raise UsageError(
            f"objectives.distillation.cache_top_k: {config.cache_top_k}, but the vocabulary has {own.vocab_size} words"
        )
    if config.attention and own.heads != other.heads:
        raise UsageError(
            f"objectives.distillation.attention: the student has {own.heads} heads and its teacher {other.heads}: "
            "their scores have no match; set it to 0 (relations compare any two numbers of heads)"
        )
    if config.relations:
        _require_divisible(config, student, teacher)


def _require_divisible(config: DistillationConfig, student: Model, teacher: Model) -> None:
    for who, model in (("student", student), ("teacher", teacher)):
        width = model.config.hidden_size
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
