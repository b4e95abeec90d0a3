"""The cuts of pairs against the published algorithms, written down plainly, and against their stated chances."""

import numpy as np
import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import PAIR_CUTS, CutConfig, CutName, MaskingConfig
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import A_START, A_STOP, B_START, B_STOP, LABEL, PART
from bertsmith.randomness import below_one, draw_one, key, uniform_one
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


def published(documents: list[list[list[int]]], number: int, room: int, draws: Draws, cut: CutName) -> list[Segments]:
    """create_instances_from_document of google-research/bert and /albert, line for line but for its masking.

    sentence_pair is not published as code; here it is BERT's with chunks of at most two sentences.
    """
    document = documents[number]
    target = room
    short, length = draws.random(), draws.next()
    most = 2 if cut == "sentence_pair" else len(document)
    if short < 0.1 and cut != "sentence_pair":
        target = 2 + below_one(length, room - 1)
    found: list[Segments] = []
    chunk: list[list[int]] = []
    current_length = i = 0
    while i < len(document):
        chunk.append(document[i])
        current_length += len(document[i])
        full = current_length >= target if cut != "sentence_pair" else len(chunk) == most
        if i == len(document) - 1 or full:
            split, choice = draws.next(), draws.random()
            a_end = 1 + below_one(split, len(chunk) - 1) if len(chunk) >= 2 else 1
            tokens_a = [token for sentence in chunk[:a_end] for token in sentence]
            tokens_b: list[int] = []
            label = int(len(chunk) == 1 or choice < 0.5)
            if len(chunk) == 1 or (cut != "sentence_order" and label):
                other = number
                for _ in range(10):
                    other = draws.randint(0, len(documents) - 1)
                    if other != number:
                        break
                start = draws.randint(0, len(documents[other]) - 1)
                for sentence in documents[other][start:]:
                    tokens_b.extend(sentence)
                    if len(tokens_b) >= target - len(tokens_a) or cut == "sentence_pair":
                        break
                i -= len(chunk) - a_end
            else:
                tokens_b = [token for sentence in chunk[a_end:] for token in sentence]
                if label:
                    tokens_a, tokens_b = tokens_b, tokens_a
            truncate(tokens_a, tokens_b, room, draws)
            found.append((tokens_a, tokens_b, label))
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


@pytest.mark.parametrize("separators", [1, 2])
@pytest.mark.parametrize("length", [8, 24, 128])
@pytest.mark.parametrize("name", PAIR_CUTS)
def test_rows_are_those_of_the_published_algorithm(name: CutName, length: int, separators: int):
    parts = [random_documents(60, seed=1), random_documents(40, seed=2, tokens=70), random_documents(1, seed=3)]
    cut = cut_for(CutConfig(name=name, length=length), IDS, 5, separators)
    corpus = memory_corpus(*parts)
    rows = cut.plan(corpus, 0)
    assert cut.lengths(corpus, rows).max() <= length
    found = []
    for row in rows:
        tokens = corpus.parts[row[PART]].token_ids
        a, b = tokens[row[A_START] : row[A_STOP]].tolist(), tokens[row[B_START] : row[B_STOP]].tolist()
        found.append((a, b, int(row[LABEL])))
    wanted = []
    for number, documents in enumerate(parts):
        part_key = key(5, name, 0, number)
        for document in range(len(documents)):
            draws = Draws(np.uint64(draw_one(part_key, document)))
            wanted += published(documents, document, length - 2 - separators, draws, name)
    assert found == wanted


@pytest.mark.parametrize("name", PAIR_CUTS)
def test_unused_sentences_are_used_again(name: CutName):
    """Every sentence is in exactly one A or one B that is not random, as long as nothing has to be truncated."""
    documents = random_documents(200, seed=4, sentences=30, tokens=8)
    corpus = memory_corpus(documents)
    rows = cut_for(CutConfig(name=name, length=256, short_probability=0.0), IDS, 0).plan(corpus, 0)
    used = np.zeros(corpus.tokens, dtype=int)
    for row in rows:
        used[row[A_START] : row[A_STOP]] += 1
        if row[LABEL] == 0 or row[B_STOP] == row[A_START]:  # next, or swapped
            used[row[B_START] : row[B_STOP]] += 1
    assert (used == 1).all()


def test_swapped_segments_are_neighbours():
    corpus = memory_corpus(random_documents(2000, seed=6, sentences=40))
    rows = cut_for(CutConfig(name="sentence_order", length=512, short_probability=0.0), IDS, 0).plan(corpus, 0)
    in_order, swapped = rows[:, A_STOP] == rows[:, B_START], rows[:, B_STOP] == rows[:, A_START]
    assert (rows[in_order, LABEL] == 0).all() and (rows[swapped, LABEL] == 1).all()
    random = ~(in_order | swapped)  # chunks of one sentence, and pairs cut between A and B
    assert 0 < random.mean() < 0.2
    assert abs(swapped.sum() / (swapped | in_order).sum() - 0.5) < 0.02
    never = CutConfig(name="sentence_order", random_probability=0.0)
    assert (cut_for(never, IDS, 0).plan(corpus, 0)[:, LABEL] == 0).mean() > 0.9


def test_a_sentence_pair_is_two_sentences():
    corpus = memory_corpus(random_documents(300, seed=6))
    part = corpus.parts[0]
    rows = cut_for(CutConfig(name="sentence_pair", length=512), IDS, 0).plan(corpus, 0)
    for start, stop in ((A_START, A_STOP), (B_START, B_STOP)):
        first = np.searchsorted(part.sentences, rows[:, start])
        assert (part.sentences[first] == rows[:, start]).all() and (part.sentences[first + 1] == rows[:, stop]).all()
    document = np.searchsorted(part.document_tokens, rows[:, [A_START, B_START]], side="right")
    true = rows[:, LABEL] == 0
    assert (document[true, 0] == document[true, 1]).all() and (document[~true, 0] != document[~true, 1]).all()
    assert (rows[true, A_STOP] == rows[true, B_START]).all()
    assert 0.5 < 1 - true.mean() < 0.65  # the last sentence of a document has none to go on with


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


@pytest.mark.parametrize("name", PAIR_CUTS)
@pytest.mark.parametrize("documents", [[], [[[5]]], [[[5, 6, 7], [8, 9]]]])
def test_tiny_corpora(documents: list[list[list[int]]], name: CutName):
    corpus = memory_corpus(documents) if documents else memory_corpus()
    cut = cut_for(CutConfig(name=name), IDS, 0)
    rows = cut.plan(corpus, 0)
    assert rows.shape[1] == 6 and len(rows) >= len(documents)
    assert (rows[:, A_START] < rows[:, A_STOP]).all() and (rows[:, B_START] < rows[:, B_STOP]).all()
    assert cut.build(corpus, rows).lengths.size == len(rows)


def test_a_part_with_one_document_is_said_once(capsys: pytest.CaptureFixture[str]):
    corpus = memory_corpus(random_documents(5), random_documents(1))
    for _ in range(2):
        BatchSource(corpus, CutConfig(), MaskingConfig(), batch_size=4, seed=0, special=IDS)
    assert capsys.readouterr().err.count("holds a single document") == 1
