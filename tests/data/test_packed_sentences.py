"""full_sentences and doc_sentences: whole sentences in order, up to the length; the one across documents, with a
separator between, the other never."""

import numpy as np
import pytest

from bertsmith.data.config import CutConfig, CutName
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import A_START, A_STOP, LABEL, PART, SPECIAL
from tests.helpers import SPECIAL as IDS
from tests.helpers import memory_corpus, random_documents


def cut(length: int, name: CutName = "full_sentences"):
    return cut_for(CutConfig(name=name, length=length), IDS, 0)


def test_documents_are_separated():
    corpus = memory_corpus([[[5, 6], [7]], [[8], [10, 9]], [[11, 12, 13]]])
    rows = cut(9).plan(corpus, 0)
    examples = cut(9).build(corpus, rows)
    # 5 6 7 [SEP] 8 are five tokens; 10 9 make seven, which is all the room there is
    assert examples.token_ids.tolist() == [2, 5, 6, 7, 3, 8, 10, 9, 3, 2, 11, 12, 13, 3]
    assert examples.lengths.tolist() == [9, 5]
    assert (examples.units[examples.token_ids < 5] == SPECIAL).all()
    assert not examples.type_ids.any() and examples.labels.tolist() == [-1, -1]


def test_a_sequence_ends_with_its_document():
    corpus = memory_corpus([[[5, 6], [7]], [[8], [10, 9]], [[11, 12, 13, 14], [15, 16, 17], [18]]])
    rows = cut(9, "doc_sentences").plan(corpus, 0)
    examples = cut(9, "doc_sentences").build(corpus, rows)
    assert examples.token_ids.tolist() == [2, 5, 6, 7, 3, 2, 8, 10, 9, 3, 2, *range(11, 18), 3, 2, 18, 3]
    assert not examples.type_ids.any() and (examples.labels == -1).all()


def test_a_separator_at_the_edge_is_not_written():
    corpus = memory_corpus([[[5, 6, 7]], [[8, 9, 10]]])
    examples = cut(8).build(corpus, cut(8).plan(corpus, 0))
    assert examples.token_ids.tolist() == [2, 5, 6, 7, 3, 2, 8, 9, 10, 3]


def test_long_sentences_are_cut_and_the_rest_goes_on():
    corpus = memory_corpus([[[5, 6], list(range(10, 30)), [7, 8]]])
    rows = cut(10).plan(corpus, 0)
    assert rows[:, A_START].tolist() == [0, 2, 10, 18]
    assert rows[:, A_STOP].tolist() == [2, 10, 18, 24]
    units = cut(10).build(corpus, rows).units
    lengths = rows[:, A_STOP] - rows[:, A_START] + 2
    assert (units[np.cumsum(lengths) - lengths + 1] == 1).all()  # what a cut leaves at the start begins a word


@pytest.mark.parametrize("name", ["full_sentences", "doc_sentences"])
@pytest.mark.parametrize("length", [8, 33, 128])
def test_rows_tile_each_part_with_whole_sentences(length: int, name: CutName):
    corpus = memory_corpus(random_documents(80, seed=1), random_documents(50, seed=2, tokens=60))
    rows = cut(length, name).plan(corpus, 0)
    examples = cut(length, name).build(corpus, rows)
    assert examples.lengths.max() <= length
    for number, part in enumerate(corpus.parts):
        mine = rows[rows[:, PART] == number]
        assert mine[0, A_START] == 0 and mine[-1, A_STOP] == part.token_ids.size
        assert (mine[1:, A_START] == mine[:-1, A_STOP]).all()
        inside = ~np.isin(mine[:, A_STOP], part.sentences)
        assert (mine[inside, A_STOP] - mine[inside, A_START] == length - 2).all()  # cut only when one sentence fills it
        if name == "doc_sentences":
            inside = np.searchsorted(part.document_tokens, mine[:, A_START], side="right")
            assert (mine[:, A_STOP] <= part.document_tokens[inside]).all()
    assert (rows[:, LABEL] == -1).all()
    tokens = examples.token_ids[examples.units != SPECIAL]
    assert tokens.tolist() == np.concatenate([part.token_ids for part in corpus.parts]).tolist()


@pytest.mark.parametrize("name", ["full_sentences", "doc_sentences"])
def test_no_row_has_room_for_the_next_sentence(name: CutName):
    corpus = memory_corpus(random_documents(200, seed=3))
    part, plan = corpus.parts[0], cut(64, name)
    rows = plan.plan(corpus, 0)
    lengths = plan.build(corpus, rows).lengths
    for row, length in zip(rows[:-1], lengths[:-1], strict=True):
        sentence = int(np.searchsorted(part.sentences, row[A_STOP]))
        following = part.sentences[sentence + 1] - part.sentences[sentence]
        ends_document = row[A_STOP] in part.document_tokens
        assert length + following + ends_document > 64 or (name == "doc_sentences" and ends_document)


def test_every_epoch_has_the_same_plan():
    corpus = memory_corpus(random_documents(20))
    plan = cut_for(CutConfig(name="full_sentences", copies=0), IDS, 0)
    assert plan.plan_number(5) == plan.plan_number(0) and plan.plan(corpus, 0).tolist() == plan.plan(corpus, 5).tolist()


def test_an_empty_corpus_has_no_rows():
    assert cut(16).plan(memory_corpus(), 0).shape == cut(16, "doc_sentences").plan(memory_corpus(), 0).shape == (0, 6)
