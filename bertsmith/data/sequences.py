"""Single inputs of a model, before they are put together to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.data.cuts.template import Template

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds


class TokenSequence(NamedTuple):
    """One input of a model, special tokens included.

    token_ids: (tokens,), of any type of whole numbers. first: how many of them, from the start, are of segment A
    (type 0); the rest is type 1.
    """

    token_ids: npt.NDArray[Any]
    first: int


def single(token_ids: npt.NDArray[Any], special: SpecialIds) -> TokenSequence:
    """`[CLS] tokens [SEP]`."""
    wrapped = Template(special).single(token_ids)
    return TokenSequence(wrapped, len(wrapped))


def pair(first: npt.NDArray[Any], second: npt.NDArray[Any], special: SpecialIds, separators: int) -> TokenSequence:
    """`[CLS] first [SEP] second [SEP]`, with as many separators between as the tokenizer says."""
    template = Template(special, separators)
    return TokenSequence(template.pair(first, second), template.first_length(len(first)))


def type_ids_of(sequences: Sequence[TokenSequence]) -> npt.NDArray[np.int64]:
    """The types of sequences laid end to end: (tokens,)."""
    lengths = np.fromiter((len(sequence.token_ids) for sequence in sequences), np.int64, len(sequences))
    firsts = np.fromiter((sequence.first for sequence in sequences), np.int64, len(sequences))
    starts = np.cumsum(lengths) - lengths
    places = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return (places >= np.repeat(firsts, lengths)).astype(np.int64)
