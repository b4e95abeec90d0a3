"""Which tokenizer a corpus is prepared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True)
class TokenizerConfig:
    """The tokenizer that `prepare` trains; the defaults are those of bert-base-uncased."""

    kind: Literal["wordpiece", "byte_bpe", "unigram"] = field(
        default="wordpiece",
        metadata={"help": "wordpiece: BERT's; byte_bpe: RoBERTa's; unigram: ALBERT's SentencePiece"},
    )
    size: Annotated[int, Field(ge=16, le=1_000_000)] | Literal["auto"] = field(
        default="auto",
        metadata={"help": "entries of the vocabulary at most; auto: 4k, 8k, 16k or 30k, by the amount of text"},
    )
    lowercase: bool = field(default=True, metadata={"help": "lower-case the text and strip its accents"})
    extend: Annotated[int, Field(ge=0, le=100_000)] = field(
        default=0, metadata={"help": "words of the text to add to the WordPiece vocabulary that --tokenizer names"}
    )
    sample_megabytes: Annotated[int, Field(ge=1)] = field(
        default=200, metadata={"help": "train the vocabulary on at most this much text, chosen by hash"}
    )
