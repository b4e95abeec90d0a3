"""What the report says the model saw, against what the model is given in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.batch import flat_batch
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.randomness import key, permutation
from bertsmith.report.examples import draw_sequences, judged_pairs, part_seed, pieces_of, seen_lines
from tests.stories import tiny_model

CUT = CutConfig(length=48)
MASKING = MaskingConfig(mask_share=0.5, random_share=0.25, keep_share=0.25)  # so that ten lines show every fate


@pytest.fixture(scope="module")
def held_out(english: Path) -> Corpus:
    return Corpus.open(english, split="validation")


def draw(corpus: Corpus, count: int = 10):
    return draw_sequences(corpus, corpus.tokenizer, CUT, MASKING, part_seed(7, "validation"), count)


def test_sequences_and_masks_are_those_of_the_run(held_out: Corpus) -> None:
    source = BatchSource(held_out, CUT, MASKING, batch_size=1, seed=7, purpose="validation")
    rows = source.rows_per_epoch(0)
    indices = np.sort(permutation(key(part_seed(7, "validation"), "report"), rows)[:10])
    expected, drawn = source.make(0, indices), draw(held_out)
    assert np.array_equal(drawn.masked.token_ids, expected.token_ids)
    assert np.array_equal(drawn.masked.rows, expected.targets["masked_lm"][0])
    assert np.array_equal(drawn.examples.labels, expected.targets["pair"][1])


def test_every_token_is_shown_with_its_fate(held_out: Corpus) -> None:
    tokenizer, drawn = held_out.tokenizer, draw(held_out)
    pieces = [piece for line in pieces_of(drawn, tokenizer) for piece in line]
    assert len(pieces) == len(drawn.examples.token_ids)
    predicted = dict(zip(drawn.masked.rows.tolist(), drawn.masked.labels.tolist(), strict=True))
    for row, piece in enumerate(pieces):
        seen = int(drawn.masked.token_ids[row])
        assert piece.text == tokenizer.id_to_token(seen).removeprefix("##")
        assert piece.segment == drawn.examples.type_ids[row]
        if row in predicted:
            fate = "masked" if seen == tokenizer.special.mask else "kept" if seen == predicted[row] else "replaced"
            assert (piece.fate, piece.truth) == (fate, tokenizer.id_to_token(predicted[row]).removeprefix("##"))
        else:
            assert piece.fate == ("special" if seen in tokenizer.special else "plain") and piece.truth == ""
    assert {piece.fate for piece in pieces} == {"plain", "special", "masked", "replaced", "kept"}


def test_predictions_are_the_models(held_out: Corpus) -> None:
    tokenizer, drawn = held_out.tokenizer, draw(held_out, 3)
    model = tiny_model(tokenizer)
    examples, masked = drawn
    with torch.no_grad():
        ids, types, lengths = map(torch.from_numpy, (masked.token_ids, examples.type_ids, examples.lengths))
        hidden = model(flat_batch(ids, types, lengths)).hidden_states
        expected = model.masked_lm(hidden[masked.rows]).softmax(-1)
    found = [prediction for line in seen_lines(model, tokenizer, drawn) for prediction in line.predictions]
    assert len(found) == len(masked.rows) > 10
    for prediction, row, label in zip(found, expected, masked.labels, strict=True):
        assert prediction.truth == tokenizer.id_to_token(int(label))
        assert prediction.probability == pytest.approx(float(row[label]), abs=1e-5)
        assert prediction.rank == int((row > row[label] + 1e-7).sum()) + 1
        best = row.topk(5).indices.tolist()
        assert [guess.token for guess in prediction.guesses] == [tokenizer.id_to_token(i) for i in best]
        assert [guess.right for guess in prediction.guesses] == [i == label for i in best]


def test_lines_count_what_was_right(held_out: Corpus) -> None:
    tokenizer = held_out.tokenizer
    for line in seen_lines(tiny_model(tokenizer), tokenizer, draw(held_out)):
        assert line.right == sum(prediction.guesses[0].right for prediction in line.predictions)
        assert line.among_five == sum(any(g.right for g in prediction.guesses) for prediction in line.predictions)


def test_pairs_are_read_without_masks_and_told_truly(held_out: Corpus) -> None:
    tokenizer, drawn = held_out.tokenizer, draw(held_out)
    pairs = judged_pairs(tiny_model(tokenizer), tokenizer, drawn.examples)
    assert [pair.truth for pair in pairs] == (drawn.examples.labels == 0).tolist()
    assert not any("[MASK]" in pair.first + pair.second or "[SEP]" in pair.first + pair.second for pair in pairs)
    assert all(pair.first and pair.second and 0 < pair.is_next < 1 for pair in pairs)
    assert [pair.right for pair in pairs] == [(pair.is_next > 0.5) == pair.truth for pair in pairs]


def test_chinese_is_shown_without_spaces(chinese: Path) -> None:
    corpus = Corpus.open(chinese, split="validation")
    drawn = draw_sequences(corpus, corpus.tokenizer, CUT, MaskingConfig(), 0, 1)
    [line] = pieces_of(drawn, corpus.tokenizer)
    whole = "".join((" " if piece.spaced else "") + (piece.truth or piece.text) for piece in line)
    assert "学校" in whole


def test_a_corpus_smaller_than_what_is_asked_for_gives_what_it_has(held_out: Corpus) -> None:
    drawn = draw(held_out, count=10_000)
    assert 0 < len(drawn.examples.lengths) < 10_000
    assert len(draw(Corpus([], held_out.details, held_out.folder)).examples.lengths) == 0
