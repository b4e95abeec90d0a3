"""How examples are cut from the corpus and how they are masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from bertsmith.errors import UsageError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
CutName = Literal["next_sentence", "sentence_order", "sentence_pair", "full_sentences", "doc_sentences"]

PAIR_CUTS: tuple[CutName, ...] = ("next_sentence", "sentence_order", "sentence_pair")
SHORT_CUTS: tuple[CutName, ...] = ("sentence_pair", "doc_sentences")  # many of their sequences are short


@dataclass(frozen=True)
class CutConfig:
    """How the corpus is cut into sequences. Defaults: BERT's `create_pretraining_data.py`, first phase."""

    name: CutName = field(
        default="next_sentence",
        metadata={
            "help": "pairs: next_sentence (B follows A or is random), sentence_order (in order or swapped), "
            "sentence_pair (single sentences, next or random); packed to the length: full_sentences, "
            "doc_sentences (never across documents)"
        },
    )
    length: Annotated[int, Field(ge=8)] = field(
        default=128, metadata={"help": "longest sequence in tokens, special tokens included"}
    )
    copies: Count = field(
        default=10, metadata={"help": "different cuts of the corpus before they repeat; 0 = a new one every epoch"}
    )
    short_probability: Share = field(
        default=0.1,
        metadata={"help": "share of documents cut to a shorter random length (next_sentence, sentence_order)"},
    )
    random_probability: Share = field(
        default=0.5,
        metadata={"help": "chance of a false pair, random or swapped, where a true one is possible"},
    )
    batch: Literal["auto", "sequences", "tokens"] = field(
        default="auto",
        metadata={
            "help": "what training.batch_size counts: sequences, or full lengths of tokens, so that short sequences "
            "come in larger numbers; auto: tokens for sentence_pair and doc_sentences"
        },
    )

    @property
    def makes_pairs(self) -> bool:
        """Whether the sequences carry a label for the pair objective."""
        return self.name in PAIR_CUTS

    @property
    def equal_tokens(self) -> bool:
        """Whether steps are equal in tokens, not in sequences."""
        return self.batch == "tokens" or (self.batch == "auto" and self.name in SHORT_CUTS)


@dataclass(frozen=True)
class MaskingConfig:
    """Which tokens a sequence hides and what stands in their place. Defaults: BERT's."""

    rate: Share = field(default=0.15, metadata={"help": "share of the maskable tokens that is predicted"})
    unit: Literal["token", "word", "ngram", "span"] = field(
        default="token",
        metadata={
            "help": "choose single tokens, whole words with all their pieces, runs of up to ngram_max words, or spans "
            "as long as the words of the sequence that begin anywhere"
        },
    )
    ngram_max: Annotated[int, Field(ge=1)] = field(
        default=3, metadata={"help": "most words of an n-gram; n is drawn with a chance proportional to 1/n"}
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
    rarity: Annotated[float, Field(ge=0, le=1)] = field(
        default=0.0,
        metadata={
            "help": "tokens are chosen in proportion to count^-rarity, rare ones more often (DistilBERT: 0.7); 0 = all "
            "alike; for unit = token"
        },
    )
    special_positions: bool = field(
        default=False, metadata={"help": "special tokens may be chosen and predicted too, as in fairseq"}
    )
    special_replacements: bool = field(
        default=False, metadata={"help": "random tokens may be special ones, as in google-research/bert"}
    )

    def check(self) -> None:
        """UsageError when the shares do not sum to one, or for what does not go with the unit."""
        if self.rarity and self.unit != "token":
            raise UsageError(f'masking.rarity: is for masking.unit = "token", not "{self.unit}"')
        if self.unit == "span" and (self.treatment == "word" or self.special_positions):
            key = "special_positions" if self.special_positions else "treatment"
            raise UsageError(f'masking.{key}: does not go with masking.unit = "span", whose spans are of any tokens')
        total = self.mask_share + self.random_share + self.keep_share
        if abs(total - 1.0) > 1e-6:
            raise UsageError(
                f"masking.mask_share + masking.random_share + masking.keep_share is {total:g}; they must sum to 1"
            )
