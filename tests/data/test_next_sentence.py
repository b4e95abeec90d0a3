"""The next_sentence cut against the published algorithm, written down plainly, and against its stated chances."""

import numpy as np
import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import A_START, A_STOP, B_START, B_STOP, LABEL, PART, SPECIAL, STARTS
from bertsmith.data.randomness import below_one, draw_one, key, uniform_one
from tests.helpers import SPECIAL as IDS
from tests.helpers import memory_corpus, random_documents

Segments = tuple[list[int], list[int], int]


class Draws:
    """The random numbers of one document, taken in the order in which the cut takes them."""

    def __init__(self, stream: np.uint64) -> None:
        self.stream, self.used = stream, 0

    def next(self) -> np.uint64:
        self.used += 1
        return np.uint64(draw_one(self.stream, self.used - 1))

    def random(self) -> float:
        return uniform_one(self.next())

    def randint(self, low: int, high: int) -> int:
        return low + below_one(self.next(), high - low + 1)

    def coins(self, count: int) -> list[bool]:
        found: list[bool] = []
        while len(found) < count:
            bits = int(self.next())
            found += [bool(bits >> i & 1) for i in range(64)]
        return found[:count]


def published(documents: list[list[list[int]]], number: int, room: int, draws: Draws) -> list[Segments]:
    """create_instances_from_document of google-research/bert, line for line but for its masking."""
    document = documents[number]
    target = room
    short, length = draws.random(), draws.next()
    if short < 0.1:
        target = 2 + below_one(length, room - 1)
    found: list[Segments] = []
    chunk: list[list[int]] = []
    current_length = i = 0
    while i < len(document):
        chunk.append(document[i])
        current_length += len(document[i])
        if i == len(document) - 1 or current_length >= target:
            split, choice = draws.next(), draws.random()
            a_end = 1 + below_one(split, len(chunk) - 1) if len(chunk) >= 2 else 1
            tokens_a = [token for sentence in chunk[:a_end] for token in sentence]
            tokens_b: list[int] = []
            is_random = len(chunk) == 1 or choice < 0.5
            if is_random:
                other = number
                for _ in range(10):
                    other = draws.randint(0, len(documents) - 1)
                    if other != number:
                        break
                start = draws.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][start:]:
                    tokens_b.extend(sentence)
                    if len(tokens_b) >= target - len(tokens_a):
                        break
                i -= len(chunk) - a_end
            else:
                tokens_b = [token for sentence in chunk[a_end:] for token in sentence]
            truncate(tokens_a, tokens_b, room, draws)
            found.append((tokens_a, tokens_b, int(is_random)))
            chunk, current_length = [], 0
        i += 1
    return found


def truncate(tokens_a: list[int], tokens_b: list[int], room: int, draws: Draws) -> None:
    """truncate_seq_pair: one token at a time from the longer one; which end is a coin per token."""
    losing, a, b = [], len(tokens_a), len(tokens_b)
    while a + b > room:
        losing.append("a" if a > b else "b")
        a, b = (a - 1, b) if a > b else (a, b - 1)
    coins = {"a": draws.coins(losing.count("a")), "b": draws.coins(losing.count("b"))}
    for name, tokens in (("a", tokens_a), ("b", tokens_b)):
        for front in coins[name]:
            del tokens[0 if front else -1]


@pytest.mark.parametrize("length", [8, 24, 128])
def test_rows_are_those_of_the_published_algorithm(length: int):
    parts = [random_documents(60, seed=1), random_documents(40, seed=2, tokens=70), random_documents(1, seed=3)]
    cut = cut_for(CutConfig(length=length), IDS, seed=5)
    corpus = memory_corpus(*parts)
    rows = cut.plan(corpus, 0)
    found = []
    for row in rows:
        tokens = corpus.parts[row[PART]].token_ids
        a, b = tokens[row[A_START] : row[A_STOP]].tolist(), tokens[row[B_START] : row[B_STOP]].tolist()
        found.append((a, b, int(row[LABEL])))
    wanted = []
    for number, documents in enumerate(parts):
        part_key = key(5, "next_sentence", 0, number)
        for document in range(len(documents)):
            draws = Draws(np.uint64(draw_one(part_key, document)))
            wanted += published(documents, document, length - 3, draws)
    assert found == wanted


def test_examples_are_laid_out_as_bert_wants_them():
    corpus = memory_corpus([[[5, 6, 7], [8, 9]], [[10], [12, 11]]])
    cut = cut_for(CutConfig(length=16), IDS, 0)
    rows = np.array([[0, 1, 3, 3, 5, 0], [0, 0, 3, 6, 8, 1]], dtype=np.int32)
    examples = cut.build(corpus, rows)
    assert examples.token_ids.tolist() == [2, 6, 7, 3, 8, 9, 3, 2, 5, 6, 7, 3, 12, 11, 3]
    assert examples.type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1]
    assert examples.lengths.tolist() == [7, 8] and examples.labels.tolist() == [0, 1]
    # 6 continues the word of 5 in the text; where the cut fell between them it starts one
    assert examples.units.tolist() == [2, STARTS, 1, 2, 1, 0, 2, 2, 1, 0, 1, 2, STARTS, 1, SPECIAL]
    assert all(array.dtype == np.int64 for array in (examples.token_ids, examples.type_ids, examples.lengths))


def test_unused_sentences_are_used_again():
    """Every sentence is in exactly one A or true B, as long as nothing has to be truncated."""
    documents = random_documents(200, seed=4, sentences=30, tokens=8)
    corpus = memory_corpus(documents)
    rows = cut_for(CutConfig(length=256, short_probability=0.0), IDS, 0).plan(corpus, 0)
    used = np.zeros(corpus.tokens, dtype=int)
    for row in rows:
        used[row[A_START] : row[A_STOP]] += 1
        if row[LABEL] == 0:
            used[row[B_START] : row[B_STOP]] += 1
    assert (used == 1).all()


def test_random_segments_come_from_other_documents():
    corpus = memory_corpus(random_documents(300, seed=6))
    part = corpus.parts[0]
    rows = cut_for(CutConfig(), IDS, 0).plan(corpus, 0)
    a = np.searchsorted(part.document_tokens, rows[:, A_START], side="right")
    b = np.searchsorted(part.document_tokens, rows[:, B_START], side="right")
    assert (a[rows[:, LABEL] == 0] == b[rows[:, LABEL] == 0]).all()
    assert (a[rows[:, LABEL] == 1] != b[rows[:, LABEL] == 1]).all()
    follows = rows[:, A_STOP] == rows[:, B_START]
    whole = rows[:, LABEL] == 0
    assert follows[whole].mean() > 0.9  # apart from those truncated between A and B


def test_more_than_half_of_the_pairs_are_random():
    corpus = memory_corpus(random_documents(3000, seed=7, sentences=40))
    labels = cut_for(CutConfig(), IDS, 0).plan(corpus, 0)[:, LABEL]
    assert 0.5 < labels.mean() < 0.6
    single = memory_corpus([[[5, 6, 7]], [[8, 9]]])
    assert cut_for(CutConfig(), IDS, 0).plan(single, 0)[:, LABEL].tolist() == [1, 1]


def test_a_tenth_of_the_documents_is_cut_short():
    corpus = memory_corpus(random_documents(2000, seed=8, sentences=60, tokens=6))
    lengths = {}
    for share in (0.0, 0.1, 1.0):
        cut = cut_for(CutConfig(length=64, short_probability=share, random_probability=0.0), IDS, 0)
        lengths[share] = cut.build(corpus, cut.plan(corpus, 0)).lengths
        assert lengths[share].max() <= 64
    assert lengths[0.0].mean() > lengths[0.1].mean() > lengths[1.0].mean()
    assert np.median(lengths[1.0]) < 45 < np.median(lengths[0.0])


def test_truncation_takes_from_both_ends():
    documents = [[[number] * 100, [number + 1] * 100] for number in range(5, 905, 2)]
    corpus = memory_corpus(documents)
    cut = cut_for(CutConfig(length=103, short_probability=0.0, random_probability=0.0), IDS, 0)
    rows = cut.plan(corpus, 0)
    # two sentences of 100 never fit 100 together, so every row is one sentence and a random one, 50 tokens of each
    assert ((rows[:, A_STOP] - rows[:, A_START]) == 50).all()
    in_front = (rows[:, A_START] % 100).astype(float)
    assert abs(in_front.mean() - 25) < 0.7 and abs(in_front.std() - np.sqrt(50 * 0.25)) < 0.5


def test_plans_repeat_after_their_copies():
    corpus = memory_corpus(random_documents(50))
    cut = cut_for(CutConfig(copies=3), IDS, 0)
    plans = [cut.plan(corpus, epoch).tolist() for epoch in range(4)]
    assert plans[0] == plans[3] and plans[0] != plans[1] != plans[2]
    always_new = cut_for(CutConfig(copies=0), IDS, 0)
    assert always_new.plan(corpus, 0).tolist() != always_new.plan(corpus, 3).tolist()


@pytest.mark.parametrize("documents", [[], [[[5]]], [[[5, 6, 7], [8, 9]]]])
def test_tiny_corpora(documents: list[list[list[int]]]):
    corpus = memory_corpus(documents) if documents else memory_corpus()
    cut = cut_for(CutConfig(), IDS, 0)
    rows = cut.plan(corpus, 0)
    assert rows.shape[1] == 6 and len(rows) >= len(documents)
    assert (rows[:, A_START] < rows[:, A_STOP]).all() and (rows[:, B_START] < rows[:, B_STOP]).all()
    assert cut.build(corpus, rows).lengths.size == len(rows)


def test_a_part_with_one_document_is_said_once(capsys: pytest.CaptureFixture[str]):
    corpus = memory_corpus(random_documents(5), random_documents(1))
    for _ in range(2):
        BatchSource(corpus, CutConfig(), MaskingConfig(), batch_size=4, seed=0, special=IDS)
    assert capsys.readouterr().err.count("holds a single document") == 1
