"""Special tokens around segments: the same in cuts and in what a model is asked."""

import numpy as np
import pytest

from bertsmith.data.config import CutConfig
from bertsmith.data.cuts import CUTS, Template, cut_for
from bertsmith.data.cuts.examples import A_START, A_STOP, B_START, B_STOP, SPECIAL, STARTS
from tests.helpers import SPECIAL as IDS
from tests.helpers import memory_corpus, random_documents

PAIRS = np.array([[0, 1, 3, 3, 5, 0], [0, 0, 3, 6, 8, 1]], dtype=np.int32)


@pytest.fixture
def corpus():
    return memory_corpus([[[5, 6, 7], [8, 9]], [[10], [12, 11]]])


def test_examples_are_laid_out_as_bert_wants_them(corpus):
    examples = Template(IDS).fill(corpus, PAIRS)
    assert examples.token_ids.tolist() == [2, 6, 7, 3, 8, 9, 3, 2, 5, 6, 7, 3, 12, 11, 3]
    assert examples.type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]
    assert examples.lengths.tolist() == [7, 8] and examples.labels.tolist() == [0, 1]
    # 6 continues the word of 5 in the text; where the cut fell between them it starts one
    assert examples.units.tolist() == [2, STARTS, 1, 2, 1, 0, 2, 2, 1, 0, 1, 2, STARTS, 1, SPECIAL]
    assert all(array.dtype == np.int64 for array in (examples.token_ids, examples.type_ids, examples.lengths))


def test_roberta_separates_by_two_tokens(corpus):
    examples = Template(IDS, separators=2).fill(corpus, PAIRS)
    assert examples.token_ids.tolist() == [2, 6, 7, 3, 3, 8, 9, 3, 2, 5, 6, 7, 3, 3, 12, 11, 3]
    assert examples.type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert examples.units[examples.token_ids == IDS.sep].tolist() == [SPECIAL] * 6
    assert examples.lengths.tolist() == [8, 9]


@pytest.mark.parametrize("separators", [1, 2])
@pytest.mark.parametrize("name", CUTS)
def test_cuts_and_questions_share_the_template(name, separators):
    corpus = memory_corpus(random_documents(30, seed=1), random_documents(30, seed=2))
    cut = cut_for(CutConfig(name=name, length=32), IDS, 0, separators)
    rows = cut.plan(corpus, 0)
    examples = cut.build(corpus, rows)
    assert examples.lengths.tolist() == cut.lengths(corpus, rows).tolist() and examples.lengths.max() <= 32
    template = Template(IDS, separators)
    ends = np.cumsum(examples.lengths)
    for row, start, stop in zip(rows, ends - examples.lengths, ends, strict=True):
        tokens = corpus.parts[row[0]].token_ids
        first, second = tokens[row[A_START] : row[A_STOP]], tokens[row[B_START] : row[B_STOP]]
        found, types = examples.token_ids[start:stop], examples.type_ids[start:stop]
        if cut.has_pairs:
            assert found.tolist() == template.pair(first, second).tolist()
            assert (types == 0).sum() == template.first_length(len(first))
        elif name == "doc_sentences":
            assert found.tolist() == template.single(first).tolist() and not types.any()
        else:  # with a separator where a document begins
            assert found[found != IDS.sep][1:].tolist() == first.tolist() and not types.any()
