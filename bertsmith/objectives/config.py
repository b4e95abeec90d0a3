"""Which objectives a run trains, and what of a teacher is learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from bertsmith.errors import UsageError

ObjectiveName = Literal["masked_lm", "pair", "distillation"]
Initial = Literal["spread", "every_other", "first", "last", "random"]
Weight = Annotated[float, Field(ge=0)]


def _told(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class DistillationConfig:
    """What a student learns from its teacher. Defaults: DistilBERT's (Sanh et al., 2019), as its code has them."""

    kl: Weight = _told(5.0, "weight of the distance from the teacher's distribution over the vocabulary")
    mlm: Weight = _told(2.0, "weight of the masked tokens' own loss beside a teacher")
    cosine: Weight = _told(1.0, "weight of the angle between the last hidden states; wants equal widths")
    relations: Weight = _told(
        0.0, "weight of the relations between queries, keys and values (MiniLMv2); widths may differ"
    )
    hidden: Weight = _told(
        0.0, "weight of the differences of hidden states, those of the student mapped to the teacher's width (TinyBERT)"
    )
    attention: Weight = _told(
        0.0, "weight of the differences of attention scores before the softmax; wants as many heads in both (TinyBERT)"
    )
    temperature: Annotated[float, Field(gt=0)] = _told(2.0, "by which logits are divided before they are compared")
    positions: Literal["all", "masked"] = _told(
        "all", "where kl, cosine and hidden are taken: all tokens or masked ones"
    )
    relation_heads: Annotated[int, Field(ge=1)] = _told(12, "heads that relations are divided into, in both models")
    relation_layer: Annotated[int, Field(ge=0)] = _told(
        0, "layer of the teacher, from 1, whose relations are learnt; 0 = the last"
    )
    hidden_layers: tuple[int, ...] = _told(
        (), "layers of the teacher, from 1, whose hidden states and attention the student's learn; empty = evenly"
    )
    cache_top_k: Annotated[int, Field(ge=0)] = _told(
        0,
        "the teacher's likeliest words that are kept on disk for later epochs, in place of its whole distribution; "
        "0 = all words, and nothing is kept",
    )
    initial: Initial = _told(
        "spread",
        "layers of the teacher that the student starts from: spread evenly from first to last, every other, the first "
        "or the last ones; random: its weights are new",
    )
    initial_layers: tuple[int, ...] = _told((), "the same as a list, counted from 0; empty = as `initial` says")
    freeze_positions: bool = _told(True, "position embeddings stay those of the teacher")

    def check(self) -> None:
        """UsageError when there is nothing to learn, or a cache that would save nothing."""
        if not self.compares and (not self.mlm or (self.initial == "random" and not self.initial_layers)):
            raise UsageError(
                "objectives.distillation: kl, cosine, relations, hidden and attention are all 0, so nothing of the "
                "teacher is learnt; only a student that starts from its layers (initial) and has mlm above 0 may do so"
            )
        if self.cache_top_k and self.inner_parts:
            raise UsageError(
                f"objectives.distillation.cache_top_k: {self.inner_parts[0]} asks the teacher at every step all the "
                f"same, so a cache would save nothing; set one of the two to 0"
            )

    @property
    def compares(self) -> bool:
        """Whether anything the teacher says is learnt, and not its weights alone."""
        return bool(self.kl or self.inner_parts)

    @property
    def inner_parts(self) -> list[str]:
        """The parts in use that read more of the teacher than its distribution over the vocabulary."""
        return [name for name in ("cosine", "relations", "hidden", "attention") if getattr(self, name)]


@dataclass(frozen=True)
class ObjectivesConfig:
    """The active objectives; their losses are added, unweighted but for those of a distillation."""

    use: tuple[ObjectiveName, ...] = field(
        default=("masked_lm", "pair"), metadata={"help": "active objectives (a list replaces the recipe's)"}
    )
    distillation: DistillationConfig = DistillationConfig()

    @property
    def distils(self) -> bool:
        """Whether there is a teacher."""
        return "distillation" in self.use

    @property
    def keeps_words(self) -> bool:
        """Whether what a teacher says is kept for later epochs."""
        return self.distils and self.distillation.cache_top_k > 0

    def check(self) -> None:
        """UsageError naming the key when parts contradict each other."""
        if not self.distils:
            return
        self.distillation.check()
        if not self.distillation.compares and "masked_lm" not in self.use:
            raise UsageError(
                "objectives.use: without masked_lm there is nothing to learn from a teacher's layers alone"
            )
        if self.distillation.positions == "masked" and "masked_lm" not in self.use:
            raise UsageError('objectives.distillation.positions: "masked" wants masked_lm in objectives.use')
