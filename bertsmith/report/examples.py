"""What a model saw and what it made of it: masked sequences and judged pairs, good and bad alike."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch

from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus, Split
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import SPECIAL, Examples
from bertsmith.data.masking import Masked, mask, token_weights
from bertsmith.models.model import Model
from bertsmith.randomness import key, permutation
from bertsmith.tasks.forward import TokenSequence, batches, device_of, sequences_of
from bertsmith.tasks.pairs import pair_logits
from bertsmith.text.han import contains_han
from bertsmith.tokenizers.tokenizer import Tokenizer

Fate = Literal["plain", "special", "masked", "replaced", "kept"]
TOP = 5


class Piece(NamedTuple):
    """One token as the model saw it.

    text: the token, without `##`. spaced: whether a space stands before it. segment: its type. fate: what masking did
    to it. truth: what stood there, where it is predicted, else "".
    """

    text: str
    spaced: bool
    segment: int
    fate: Fate
    truth: str


class Guess(NamedTuple):
    """A candidate for a predicted token."""

    token: str
    probability: float
    right: bool


class Prediction(NamedTuple):
    """What the model made of one predicted token: its best guesses, and probability and rank (from 1) of the truth."""

    truth: str
    fate: Fate
    probability: float
    rank: int
    guesses: list[Guess]


class SeenLine(NamedTuple):
    """One sequence, with a prediction for each of its predicted tokens, in order (none where no model was asked)."""

    pieces: list[Piece]
    predictions: list[Prediction]

    @property
    def right(self) -> int:
        """Predicted tokens whose best guess is the truth."""
        return sum(prediction.rank == 1 for prediction in self.predictions)

    @property
    def among_five(self) -> int:
        """Predicted tokens whose truth is among the guesses shown."""
        return sum(prediction.rank <= TOP for prediction in self.predictions)


class JudgedPair(NamedTuple):
    """A pair, the probability the model gives to "is next", and whether it is."""

    first: str
    second: str
    is_next: float
    truth: bool

    @property
    def right(self) -> bool:
        """Whether the model leans to the truth."""
        return (self.is_next > 0.5) == self.truth


class Drawn(NamedTuple):
    """Sequences drawn from a corpus by a seed, and their masks."""

    examples: Examples
    masked: Masked


def part_seed(seed: int, split: Split) -> int:
    """The seed that BatchSource gives to a part of a run."""
    return int(key(seed, split))


def draw_sequences(
    corpus: Corpus, tokenizer: Tokenizer, cut_config: CutConfig, masking: MaskingConfig, seed: int, count: int
) -> Drawn:
    """`count` sequences (fewer where the corpus has fewer) of the first epoch, chosen by the seed alone.

    `seed` is that of a part of the run, `part_seed(seed, split)`: cuts and masks are then those of the run itself.
    """
    cut = cut_for(cut_config, tokenizer.special, seed, tokenizer.separators)
    rows = cut.plan(corpus, epoch=0)
    chosen = np.sort(permutation(key(seed, "report"), len(rows))[:count]) if len(rows) else np.empty(0, np.int64)
    examples = cut.build(corpus, rows[chosen])
    weights = token_weights(masking, corpus.token_counts()) if masking.rarity else None
    masked = mask(examples, masking, tokenizer.special, tokenizer.vocab_size, seed, 0, chosen, weights)
    return Drawn(examples, masked)


def pieces_of(drawn: Drawn, tokenizer: Tokenizer) -> list[list[Piece]]:
    """The tokens of each sequence with what masking did to them."""
    examples, masked = drawn
    truths = dict(zip(masked.rows.tolist(), masked.labels.tolist(), strict=True))
    sequences: list[list[Piece]] = []
    start = 0
    for length in examples.lengths.tolist():
        pieces: list[Piece] = []
        before = ""
        for row in range(start, start + length):
            piece = _piece(row, drawn, truths, tokenizer, before)
            before = piece.truth or piece.text
            pieces.append(piece)
        sequences.append(pieces)
        start += length
    return sequences


def _piece(row: int, drawn: Drawn, truths: dict[int, int], tokenizer: Tokenizer, before: str) -> Piece:
    examples, masked = drawn
    seen = int(masked.token_ids[row])
    token, apart = tokenizer.surface(truths.get(row, seen))
    glued = not apart or (contains_han(token[:1]) and contains_han(before[-1:]))
    fate: Fate = "special" if examples.units[row] == SPECIAL else "plain"
    truth = ""
    if row in truths:
        truth = token
        fate = "masked" if seen == tokenizer.special.mask else "kept" if seen == truths[row] else "replaced"
    text = tokenizer.surface(seen).text
    return Piece(text, not glued, int(examples.type_ids[row]), fate, truth)


def seen_lines(model: Model, tokenizer: Tokenizer, drawn: Drawn) -> list[SeenLine]:
    """Every drawn sequence with the model's best guesses for its predicted tokens."""
    sequences = pieces_of(drawn, tokenizer)
    inputs = sequences_of(drawn.examples, drawn.masked.token_ids)
    starts = np.cumsum(drawn.examples.lengths) - drawn.examples.lengths
    predictions: list[list[Prediction]] = [[] for _ in sequences]
    model.eval()
    with torch.inference_mode():
        for index, pieces in enumerate(sequences):
            places = [place for place, piece in enumerate(pieces) if piece.fate in ("masked", "replaced", "kept")]
            first, last = np.searchsorted(drawn.masked.rows, [starts[index], starts[index] + len(pieces)])
            labels = drawn.masked.labels[first:last]
            for _, batch in batches([inputs[index]], device_of(model)):
                logits = model.masked_lm(model(batch).hidden_states[places]).float().cpu()
                predictions[index] = [
                    _prediction(row, pieces[place], int(label), tokenizer)
                    for row, place, label in zip(logits.softmax(-1), places, labels, strict=True)
                ]
    return [SeenLine(pieces, found) for pieces, found in zip(sequences, predictions, strict=True)]


def _prediction(probabilities: torch.Tensor, piece: Piece, label: int, tokenizer: Tokenizer) -> Prediction:
    scores, ids = probabilities.topk(min(TOP, len(probabilities)))
    guesses = [
        Guess(tokenizer.id_to_token(token_id), score, token_id == label)
        for score, token_id in zip(scores.tolist(), ids.tolist(), strict=True)
    ]
    probability = float(probabilities[label])
    rank = int((probabilities > probability).sum()) + 1
    return Prediction(tokenizer.id_to_token(label), piece.fate, probability, rank, guesses)


def judged_pairs(model: Model, tokenizer: Tokenizer, examples: Examples) -> list[JudgedPair]:
    """Every drawn sequence that is a pair, unmasked, with the model's judgement."""
    paired = [i for i, label in enumerate(examples.labels.tolist()) if label >= 0]
    inputs = sequences_of(examples, examples.token_ids)
    probabilities = pair_logits(model, [inputs[i] for i in paired]).softmax(-1)[:, 0].tolist()
    pairs = []
    for i, probability in zip(paired, probabilities, strict=True):
        first, second = _texts(inputs[i], tokenizer)
        pairs.append(JudgedPair(first, second, probability, bool(examples.labels[i] == 0)))
    return pairs


def _texts(sequence: TokenSequence, tokenizer: Tokenizer) -> tuple[str, str]:
    """Both parts as readable text, without `[CLS]` and `[SEP]`."""
    first, second = (
        sequence.token_ids[1 : sequence.first - tokenizer.separators],
        sequence.token_ids[sequence.first : -1],
    )
    return tokenizer.decode(first), tokenizer.decode(second)
