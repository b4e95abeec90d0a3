"""evaluate minimal-pairs: both scores against a slow and plain computation, ties, files with mistakes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.tasks import minimal_pairs
from bertsmith.tasks.forward import batches, single
from bertsmith.tasks.minimal_pairs import Scores, encode, evaluate_minimal_pairs, masked_copies, score_sentences
from bertsmith.tasks.pair_files import MinimalPair, read_pairs
from bertsmith.text.skipped import Skipped
from tests.stories import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SENTENCES = ["the cat sat on a mat .", "the cats sat on a xyz !", "zebra ran", "今天我们玩 it was", "a", "hillside cat"]


def pair(good: str, bad: str, phenomenon: str = "order") -> MinimalPair:
    return MinimalPair(good, bad, phenomenon, "here:1")


def log_probability(model: Model, ids: list[int], masked: list[int], wanted: int) -> float:
    """log p(token at `wanted`) with the places `masked` hidden, by one plain forward pass."""
    special = TOKENIZER.special
    hidden = np.array([special.mask if i in masked else token for i, token in enumerate(ids)])
    (_, batch), *_ = batches([single(hidden, special)], torch.device("cpu"))
    logits = model.masked_lm(model(batch).hidden_states)[wanted + 1, : TOKENIZER.vocab_size]
    return float(logits.double().log_softmax(-1)[ids[wanted]])


def slow_scores(model: Model, text: str) -> Scores:
    """Kauf & Ivanova's two scores, token by token, straight from their definitions."""
    token_ids, word_starts, _ = TOKENIZER.encode_with_offsets(text)
    ids = token_ids.tolist()
    words = np.cumsum(word_starts).tolist()
    original = sum(log_probability(model, ids, [i], i) for i in range(len(ids)))
    later = [[j for j in range(i, len(ids)) if words[j] == words[i]] for i in range(len(ids))]
    return Scores(original, sum(log_probability(model, ids, later[i], i) for i in range(len(ids))))


@torch.inference_mode()
def test_both_scores_are_those_of_the_definition() -> None:
    model = tiny_model(TOKENIZER)
    found = score_sentences(model, TOKENIZER, [encode(TOKENIZER, text) for text in SENTENCES])
    for text, scores in zip(SENTENCES, found, strict=True):
        assert scores == pytest.approx(slow_scores(model, text), abs=1e-3)
    assert abs(found[2].original - found[2].word_l2r) > 0.1  # "zebra" is five pieces: the scores differ
    assert found[0].original == found[0].word_l2r  # whole words: they are one


def test_a_piece_is_asked_twice_unless_it_ends_its_word() -> None:
    sentence = encode(TOKENIZER, "the cats")  # the cat ##s
    copies = [(c.token, c.original, c.word_l2r) for c in masked_copies(0, sentence)]
    assert copies == [(0, True, True), (1, True, False), (1, False, True), (2, True, True)]


def test_chinese_words_are_those_of_the_segmenter() -> None:
    starts = encode(TOKENIZER, "今天我们玩").word_starts.tolist()
    assert starts == [True, False, True, False, True]


def scores_given(monkeypatch: pytest.MonkeyPatch, given: list[Scores]) -> None:
    monkeypatch.setattr(minimal_pairs, "score_sentences", lambda *arguments: given)


def test_accuracy_counts_pairs_and_a_tie_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [Scores(-1, -5), Scores(-2, -4), Scores(-3, -3), Scores(-3, -3), Scores(-1, -1), Scores(-9, -9)]
    scores_given(monkeypatch, given)
    pairs = [pair("the cat", "cat the"), pair("a dog", "dog a"), pair("it was", "was it", "verb")]
    result = evaluate_minimal_pairs(tiny_model(TOKENIZER), TOKENIZER, pairs, 64, Skipped())
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["accuracy_word_l2r"] == pytest.approx(1 / 3)
    assert result["by_phenomenon"] == {"order": 0.5, "verb": 1.0}
    assert result["by_phenomenon_word_l2r"] == {"order": 0.0, "verb": 1.0}
    assert result["pairs_by_phenomenon"] == {"order": 2, "verb": 1}
    assert (result["pairs"], result["ties"]) == (3, 1)


def test_sentences_of_equal_tokens_tie_whatever_surrounds_them() -> None:
    pairs = [pair("the cat sat", "cat sat the"), pair("the Ω cat", "the Ж cat"), pair("on a mat", "a on mat")]
    result = evaluate_minimal_pairs(tiny_model(TOKENIZER), TOKENIZER, [pairs[1]] * 3 + pairs, 64, Skipped())
    assert result["ties"] == 4  # both are [UNK] to the tokenizer


def test_rows_of_embeddings_beyond_the_tokenizer_take_no_part() -> None:
    small = tiny_model(TOKENIZER)
    padded = tiny_model(TOKENIZER, extra_rows=7)
    padded.load_state_dict(
        {name: grown(value, padded.state_dict()[name]) for name, value in small.state_dict().items()}
    )
    sentences = [encode(TOKENIZER, text) for text in SENTENCES]
    with torch.inference_mode():
        for one, other in zip(*(score_sentences(m, TOKENIZER, sentences) for m in (small, padded)), strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def grown(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`value` with as many rows as `like`, the new ones large enough to win every softmax they take part in."""
    return torch.cat([value, torch.full_like(like[len(value) :], 9.0)])


def test_a_sentence_longer_than_the_model_is_counted() -> None:
    skipped = Skipped()
    pairs = [pair("the cat " * 20, "cat"), pair("the cat", "cat the")]
    assert evaluate_minimal_pairs(tiny_model(TOKENIZER), TOKENIZER, pairs, 16, skipped)["skipped"] == {
        "longer than the 14 tokens this model reads": 1
    }
    with pytest.raises(UsageError, match="no pair is left to score"):
        evaluate_minimal_pairs(tiny_model(TOKENIZER), TOKENIZER, pairs[:1], 16, Skipped())


def test_files_are_read_and_bad_lines_counted(tmp_path: Path) -> None:
    good = {"sentence_good": "it  was late", "sentence_bad": "it were late"}
    lines = [
        json.dumps({**good, "linguistics_term": "agreement", "UID": "a_1"}),
        json.dumps({**good, "phenomenon": "verb"}),
        json.dumps(good),
        "{",
        "[1]",
        json.dumps({"sentence_good": "x"}),
        json.dumps({**good, "sentence_bad": " "}),
        "",
    ]
    (tmp_path / "rest.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(b'\xff\n{"sentence_good": "a", "sentence_bad": "b"}\n'))
    skipped = Skipped()
    pairs = read_pairs([str(tmp_path)], skipped)
    assert [p.phenomenon for p in pairs] == ["packed", "agreement", "verb", "rest"]
    assert (pairs[1].good, pairs[1].place) == ("it was late", f"{tmp_path / 'rest.jsonl'}:1")
    assert skipped.counts == {
        "not UTF-8": 1,
        "not JSON": 1,
        "not a JSON object": 1,
        "no text in field 'sentence_bad'": 1,
        "field 'sentence_bad' is empty": 1,
    }


def test_a_limit_draws_by_the_seed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [json.dumps({"sentence_good": f"{name} {i}", "sentence_bad": "no"}) for i in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    drawn = [[p.good for p in read_pairs([str(tmp_path)], Skipped(), 5, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [text[0] for text in drawn[0]] == ["a"] * 5 + ["b"] * 5
    assert len(read_pairs([str(tmp_path)], Skipped(), 30)) == 40


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", "text", "holds no .jsonl file"),
        ("x.jsonl", "", "holds no minimal pair"),
        ("x.jsonl", "{}\n{}", r"holds no minimal pair \(2 times no text in field 'sentence_good'\)"),
    ],
)
def test_files_without_pairs_are_one_clear_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_pairs([str(tmp_path / name)], Skipped())


def test_published_pairs_are_read_whole(shared_data: Path) -> None:
    skipped = Skipped()
    pairs = read_pairs([str(shared_data / "minimal_pairs")], skipped)
    assert len(pairs) == 31_800
    assert not skipped.counts
    assert {"island_effects", "passive"} <= {p.phenomenon for p in pairs}
