"""Whether one text follows another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from bertsmith.console import warn_of
from bertsmith.data.sequences import TokenSequence, pair
from bertsmith.serving.texts import clean_pair
from bertsmith.tasks.encoding import ids_of, shared_room
from bertsmith.tasks.forward import read_ahead, require_head
from bertsmith.tasks.pairs import pair_logits
from bertsmith.tasks.trained import Trained
from bertsmith.tokenizers.tokenizer import Tokenizer


class Judgement(TypedDict):
    """The probability that the second text follows the first."""

    is_next: float


def judge(trained: Trained, pairs: Sequence[tuple[str, str]]) -> list[Judgement]:
    """A judgement of each pair. Errors and warnings as in Predictor."""
    require_head(trained.model, "pair", "judge pairs")
    tokenizer = trained.tokenizer
    room = trained.max_length - 2 - tokenizer.separators
    cleaned = [clean_pair(texts, index, len(pairs)) for index, texts in enumerate(pairs)]
    found: list[Judgement] = []
    long = 0
    for _, (sequences, cut) in read_ahead(cleaned, lambda pool: _sequences(tokenizer, room, pool)):
        probabilities = pair_logits(trained.model, sequences).softmax(-1)[:, 0].tolist()
        found += [Judgement(is_next=probability) for probability in probabilities]
        long += cut
    rest = "the start of the first and the end of the second text were left out"
    warn_of(long, len(pairs), f"pairs are longer than the {room} tokens this model reads: {rest}")
    return found


def _sequences(tokenizer: Tokenizer, room: int, pairs: Sequence[tuple[str, str]]) -> tuple[list[TokenSequence], int]:
    """A sequence of each pair, in which what meets stays, and how many pairs were cut."""
    ids = ids_of(tokenizer, [text for texts in pairs for text in texts])
    sequences, cut = [], 0
    for first, second in zip(ids[::2], ids[1::2], strict=True):
        kept = shared_room(len(first), len(second), room)
        cut += sum(kept) < len(first) + len(second)
        first, second = first[len(first) - kept[0] :], second[: kept[1]]
        sequences.append(pair(first, second, tokenizer.special, tokenizer.separators))
    return sequences, cut
