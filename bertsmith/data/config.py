"""How examples are cut from the corpus and how they are masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from bertsmith.errors import UsageError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class CutConfig:
    """How the corpus is cut into sequences. Defaults: BERT's `create_pretraining_data.py`, first phase."""

    name: Literal["next_sentence", "full_sentences"] = field(
        default="next_sentence",
        metadata={"help": "next_sentence: pairs, half of them random; full_sentences: sentences packed to the length"},
    )
    length: Annotated[int, Field(ge=8)] = field(
        default=128, metadata={"help": "longest sequence in tokens, special tokens included"}
    )
    copies: Count = field(
        default=10, metadata={"help": "different cuts of the corpus before they repeat; 0 = a new one every epoch"}
    )
    short_probability: Share = field(
        default=0.1, metadata={"help": "share of documents cut to a shorter random length (next_sentence)"}
    )
    random_probability: Share = field(
        default=0.5, metadata={"help": "chance that the second segment is random where both are possible"}
    )


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens a sequence hides and what stands in their place. Defaults: BERT's."""

    rate: Share = field(default=0.15, metadata={"help": "share of the maskable tokens that is predicted"})
    unit: Literal["token", "word"] = field(
        default="token", metadata={"help": "choose single tokens, or whole words with all their pieces"}
    )
    budget: Literal["rounded", "stochastic"] = field(
        default="rounded",
        metadata={
            "help": "rounded: min(max_predictions, max(1, round(rate x length))); "
            "stochastic: int(rate x maskable tokens + U[0,1))"
        },
    )
    max_predictions: Count = field(
        default=20, metadata={"help": "most predictions in a sequence (rounded budget); 0 = no limit"}
    )
    copies: Count = field(
        default=10, metadata={"help": "different masks of a sequence before they repeat; 0 = a new one every epoch"}
    )
    treatment: Literal["token", "word"] = field(
        default="token", metadata={"help": "draw mask, random or keep once for each token, or once for each word"}
    )
    mask_share: Share = field(default=0.8, metadata={"help": "share of the predicted tokens replaced by [MASK]"})
    random_share: Share = field(default=0.1, metadata={"help": "share replaced by a random token"})
    keep_share: Share = field(default=0.1, metadata={"help": "share left as it is"})

    def check(self) -> None:
        """Raise UsageError when the shares do not sum to one."""
        total = self.mask_share + self.random_share + self.keep_share
        if abs(total - 1.0) > 1e-6:
            raise UsageError(
                f"masking.mask_share + masking.random_share + masking.keep_share is {total:g}; they must sum to 1"
            )
