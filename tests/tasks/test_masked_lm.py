"""evaluate mlm: its figures against their definitions, computed the slow way."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch

from bertsmith.batch import flat_batch
from bertsmith.errors import BertsmithError, Interrupted, UsageError
from bertsmith.models.model import Model
from bertsmith.tasks import masked_lm
from bertsmith.tasks.masked_lm import evaluate_masked_lm, unigram_loss
from bertsmith.tasks.words import WordChoice
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.stories import LETTERS, story, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(TOKENIZER)


def by_hand(model: Model, line: str, seed: int) -> tuple[float, int, int, int]:
    """Loss sum, right answers, hidden tokens and the characters they cover, of one line that fits the model."""
    ids, _, offsets = TOKENIZER.encode_with_offsets(line)
    chosen = WordChoice(seed).chosen_characters(line, 0)
    hidden = [i for i, (start, stop) in enumerate(offsets) if chosen[start:stop].any()]
    seen = torch.tensor([TOKENIZER.special.cls, *ids.tolist(), TOKENIZER.special.sep])
    seen[[i + 1 for i in hidden]] = TOKENIZER.special.mask
    with torch.no_grad():
        states = model(flat_batch(seen, torch.zeros_like(seen), torch.tensor([len(seen)]))).hidden_states
        logs = model.masked_lm(states[[i + 1 for i in hidden]]).log_softmax(-1)
    labels = torch.tensor(ids[hidden].astype(np.int64))
    characters = {c for i in hidden for c in range(*offsets[i])}
    loss = -logs[torch.arange(len(hidden)), labels].sum()
    return float(loss), int((logs.argmax(-1) == labels).sum()), len(hidden), len(characters)


def of_words(questions: Iterable[masked_lm.Question]) -> list[masked_lm.Question]:
    return [question for question in questions if question.kind == masked_lm.WORDS]


def test_tokens_are_masked_as_in_training(model: Model) -> None:
    reader = masked_lm._Reader(TOKENIZER, WordChoice(0), max_length=32)
    questions = [q for document in story(60) for q in reader.questions(document) if q.kind == masked_lm.TOKENS]
    masked = sum(len(q.rows) for q in questions)
    assert masked == reader.masked.sum() > 300
    assert masked / reader.tokens == pytest.approx(0.15, abs=0.01)
    seen = np.concatenate([q.sequence.token_ids[q.rows] for q in questions])
    labels = np.concatenate([q.labels for q in questions])
    assert (seen == TOKENIZER.special.mask).mean() == pytest.approx(0.8, abs=0.06)
    assert (seen == labels).mean() == pytest.approx(0.1, abs=0.05)


def test_the_loss_of_tokens_is_that_of_the_same_batch(model: Model) -> None:
    documents = story(5)
    reader = masked_lm._Reader(TOKENIZER, WordChoice(3), max_length=32)
    loss, count = 0.0, 0
    for question in (q for d in documents for q in reader.questions(d) if q.kind == masked_lm.TOKENS):
        ids = torch.from_numpy(question.sequence.token_ids)
        with torch.no_grad():
            states = model(flat_batch(ids, torch.zeros_like(ids), torch.tensor([len(ids)]))).hidden_states
            logs = model.masked_lm(states[question.rows]).log_softmax(-1)
        loss -= float(logs[torch.arange(len(question.rows)), torch.from_numpy(question.labels)].sum())
        count += len(question.rows)
    result = evaluate_masked_lm(model, TOKENIZER, documents, seed=3, max_length=32)
    assert result["masked"] == count
    assert result["loss"] == pytest.approx(loss / count, rel=1e-4)


def test_figures_follow_their_definitions(model: Model) -> None:
    line = "the cat sat on a mat and the dogs ran over a hill , then it was very late at night"
    loss, right, hidden, characters = by_hand(model, line, seed=4)
    result = evaluate_masked_lm(model, TOKENIZER, [[line]], seed=4, max_length=64)
    assert hidden > 1
    assert result["tokens"] == len(TOKENIZER.encode_with_offsets(line)[0])
    assert result["word_loss"] == pytest.approx(loss / hidden, abs=1e-5)
    assert result["word_accuracy"] == pytest.approx(right / hidden)
    assert result["perplexity"] == pytest.approx(math.exp(result["loss"]), rel=1e-4)
    assert result["bits_per_character"] == pytest.approx(loss / math.log(2) / characters, rel=1e-5)


def test_a_word_of_several_tokens_is_hidden_whole(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    asked: list[masked_lm.Question] = []
    score = masked_lm._score
    monkeypatch.setattr(
        masked_lm, "_score", lambda m, pool, size: (asked.extend(of_words(pool)), score(m, pool, size))[1]
    )
    line = "zebra quilt " * 12  # no word of these is one token
    evaluate_masked_lm(model, TOKENIZER, [[line]], seed=0, max_length=64)
    for question in asked:
        ids = question.sequence.token_ids.copy()
        ids[question.rows] = question.labels
        hidden = np.zeros(len(ids), bool)
        hidden[question.rows] = True
        for start in range(1, len(ids) - 1):
            continues = TOKENIZER.id_to_token(int(ids[start])).startswith("##")
            assert not continues or hidden[start] == hidden[start - 1]
    assert sum(len(question.rows) for question in asked) >= 5


def test_every_tokenizer_is_asked_the_same_characters(model: Model) -> None:
    """A tokenizer of single letters covers the same characters as one of words: bits per character compare."""
    letters = WordPieceTokenizer([*SPECIAL_TOKENS, *LETTERS, *(f"##{c}" for c in LETTERS), "."], lowercase=True)
    documents = story(4)
    covered = []
    for tokenizer in (TOKENIZER, letters):
        reader = masked_lm._Reader(tokenizer, WordChoice(0), max_length=32)
        assert sum(1 for document in documents for _ in reader.questions(document)) > 3
        covered.append((reader.offset, reader.characters))
    assert covered[0] == covered[1]


def test_nothing_of_a_long_line_is_left_out_and_no_word_is_torn(model: Model) -> None:
    line = " ".join(f"{word}s" for word in ["cat", "dog", "hill", "zebra"] * 40)
    reader = masked_lm._Reader(TOKENIZER, WordChoice(0, rate=1.0), max_length=20)
    ids = TOKENIZER.encode_with_offsets(line)[0]
    questions = of_words(reader.questions([line]))
    assert np.array_equal(np.concatenate([question.labels for question in questions]), ids)
    assert all(len(question.sequence.token_ids) <= 20 for question in questions)
    assert not any(TOKENIZER.id_to_token(int(q.labels[0])).startswith("##") for q in questions)


def test_lines_of_a_document_are_read_together_but_documents_are_not() -> None:
    def sequences(documents: list[list[str]]) -> list[int]:
        reader = masked_lm._Reader(TOKENIZER, WordChoice(0, rate=1.0), max_length=12)
        return [len(q.sequence.token_ids) for document in documents for q in of_words(reader.questions(document))]

    assert sequences([["the cat", "the dog", "a hill"]]) == [8]
    assert sequences([["the cat", "the dog"], ["a hill"]]) == [6, 4]
    assert sequences([["the cat " * 3, "the cat " * 3]]) == [8, 8]  # whole lines only


def test_results_do_not_depend_on_how_sequences_are_batched(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    documents = story(6)
    before = evaluate_masked_lm(model, TOKENIZER, documents, seed=0, max_length=32)
    monkeypatch.setattr(masked_lm, "POOL", 3)
    after = evaluate_masked_lm(model, TOKENIZER, iter(documents), seed=0, max_length=32)
    assert after == pytest.approx(before, rel=1e-5)


def test_unigram_loss_guesses_by_the_visible_tokens() -> None:
    hidden, seen = np.array([0, 2, 0, 1]), np.array([0, 8, 3, 1])  # visible: 0, 6, 3, 0; counted once more: 1, 7, 4, 1
    expected = -(2 * math.log(7 / 13) + math.log(1 / 13)) / 3
    assert unigram_loss(hidden, seen) == pytest.approx(expected)


def test_text_without_words_is_one_clear_line(model: Model) -> None:
    for documents in ([], [["   "]], [["cat"]]):
        with pytest.raises(BertsmithError, match="too short to evaluate"):
            evaluate_masked_lm(model, TOKENIZER, documents, seed=0, max_length=32)


def test_a_model_without_the_head_says_what_it_has() -> None:
    with pytest.raises(UsageError, match=r"no trained masked_lm head \(trained heads: pair\)"):
        evaluate_masked_lm(tiny_model(TOKENIZER, ("pair",)), TOKENIZER, story(2), seed=0, max_length=32)


def test_damaged_weights_are_one_clear_line() -> None:
    model = tiny_model(TOKENIZER)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(BertsmithError, match="not a finite number"):
        evaluate_masked_lm(model, TOKENIZER, story(2), seed=0, max_length=32)


def test_unknown_tokens_are_warned_of(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_masked_lm(model, TOKENIZER, [["жук " * 40]], seed=0, max_length=64)
    assert "[UNK]" in capsys.readouterr().err


def test_a_signal_stops_the_evaluation(monkeypatch: pytest.MonkeyPatch, model: Model) -> None:
    monkeypatch.setattr("bertsmith.interrupt._requested", "SIGINT")
    with pytest.raises(Interrupted):
        evaluate_masked_lm(model, TOKENIZER, story(2), seed=0, max_length=32)
