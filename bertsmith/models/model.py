"""An encoder with its heads, and how many parameters its parts have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.encoder import Encoded, Encoder
from bertsmith.models.families import FAMILIES
from bertsmith.models.families.family import TASK_CLASSES, Family
from bertsmith.models.heads import HEADS, MaskedLMHead, TaskScores
from bertsmith.models.initialization import initialize


class Model(nn.Module):
    """encoder + heads ("masked_lm", "pair"); `model(batch)` encodes, a head is asked for the rows that matter only.

    config: resolved. trained_heads: the pretraining heads that came with weights from a folder; empty for a new model.
    task: what its task head decides, None without one; the head stands in `heads` under the name of its kind.
    """

    trained_heads: tuple[str, ...]

    def __init__(
        self, config: EncoderConfig, heads: Sequence[str], *, pooler: bool, task: TaskHead | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.task = task
        self.trained_heads = ()
        modules: dict[str, nn.Module] = {name: HEADS[name](config) for name in heads}
        pooler = pooler or any(HEADS[name].needs_pooler for name in heads)
        if task is not None:
            form = FAMILIES[config.family].task_forms[task.kind]
            modules[task.kind] = TaskScores(config, form, task.outputs)
            pooler = pooler or form.reads == "pooled"
        self.encoder = Encoder(config, pooler=pooler)
        self.heads = nn.ModuleDict(modules)

    @property
    def family(self) -> Family:
        """The encoder's family."""
        return FAMILIES[self.config.family]

    def forward(self, batch: Batch) -> Encoded:
        """Encodes the batch."""
        return self.encoder(batch)

    def masked_lm(self, hidden_rows: Tensor) -> Tensor:
        """(rows, hidden) -> logits over the vocabulary (rows, vocabulary)."""
        head, word_embedding = self.masked_lm_head()
        return head(hidden_rows, word_embedding)

    def masked_lm_head(self) -> tuple[MaskedLMHead, Tensor]:
        """The head and the word embedding (vocabulary, hidden) it is tied to, for losses that never hold all logits."""
        head = self.heads["masked_lm"]
        assert isinstance(head, MaskedLMHead)
        return head, self.encoder.embeddings.words.weight

    def pair(self, pooled: Tensor) -> Tensor:
        """(sequences, hidden) -> logits (sequences, 2); class 0 = is next or in order, 1 = random or swapped."""
        return self.heads["pair"](pooled)

    def task_logits(self, encoded: Encoded, batch: Batch) -> Tensor:
        """The task head's scores of an encoded batch; only of a model with a task.

        By kind: sequence (sequences, labels), tokens (tokens, labels), span (tokens, 2) for start and end, choice
        (sequences,), one score for each.
        """
        assert self.task is not None, "the model was made without a task"
        head = self.heads[self.task.kind]
        assert isinstance(head, TaskScores)
        scores = head(encoded, batch.lengths)
        return scores.squeeze(-1) if self.task.kind == "choice" else scores


def skeleton(
    config: EncoderConfig, heads: Sequence[str], *, pooler: bool = False, task: TaskHead | None = None
) -> Model:
    """The model without storage (meta device): shapes and names only. Raises UsageError for a bad config or head.

    It has a pooler when a head needs one, or when asked for one.
    """
    config = config.resolved()
    if config.family not in FAMILIES:
        raise UsageError(f"model.family = {config.family!r} is not one of {', '.join(FAMILIES)}")
    config.check()
    family = FAMILIES[config.family]
    family.check(config)
    for name in heads:
        if name not in HEADS:
            raise UsageError(f"head {name!r} is not one of {', '.join(HEADS)}")
        if name not in family.heads:
            raise UsageError(f"head {name!r}: with model.family = {family.name!r} there is none")
    if task is not None:
        task.check()
    with torch.device("meta"):
        return Model(config, heads, pooler=pooler, task=task)


def build_model(config: EncoderConfig, heads: Sequence[str], seed: int, *, task: TaskHead | None = None) -> Model:
    """A new fp32 model on the CPU in training mode, its weights a function of (config, seed)."""
    model = skeleton(config, heads, task=task).to_empty(device="cpu")
    initialize(model.named_parameters(), config.init_std, seed)
    return model


PARTS = {
    "encoder.embeddings.words": "word_embeddings",
    "encoder.embeddings.positions": "position_embeddings",
    "encoder.embeddings.types": "type_embeddings",
    "encoder.embeddings.mapping": "embedding_mapping",
    "encoder.pooler": "pooler",
    "heads.masked_lm": "masked_lm_head",
    "heads.pair": "pair_head",
    **{f"heads.{kind}": "task_head" for kind in TASK_CLASSES},
}


def _part_of(name: str) -> str:
    for prefix, part in PARTS.items():
        if name.startswith(prefix + "."):
            return part
    if "norm." in name:
        return "layer_norms"
    return "attention" if ".attention." in name else "feed_forward"


def parameter_parts(model: Model) -> dict[str, int]:
    """Parameters by part; tied weights count once, and the norm of a head belongs to the head."""
    parts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = _part_of(name)
        parts[part] = parts.get(part, 0) + parameter.numel()
    return parts


def count_parameters(config: EncoderConfig, heads: Sequence[str], task: TaskHead | None = None) -> dict[str, object]:
    """{encoder, total, parts} as `inspect` prints them, without allocating anything.

    encoder: the family's published base class (with its pooler, trained or not); total: what is trained with these
    heads; parts: parameter_parts of the latter.
    """
    parts = parameter_parts(skeleton(config, heads, task=task))
    base = skeleton(config, (), pooler=FAMILIES[config.family].has_pooler)
    return {"encoder": sum(parameter_parts(base).values()), "total": sum(parts.values()), "parts": parts}
