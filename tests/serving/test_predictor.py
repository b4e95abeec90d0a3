"""The predictor: right places, right order, texts too long or unreadable, many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from bertsmith.batch import flat_batch
from bertsmith.errors import UsageError
from bertsmith.models.folder import save_model
from bertsmith.models.model import Model
from bertsmith.serving import filling
from bertsmith.serving.predictor import Predictor
from bertsmith.tasks.trained import Trained
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.stories import tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
MASK = TOKENIZER.special.mask


def predictor_of(model: Model, tokenizer: Tokenizer = TOKENIZER) -> Predictor:
    return Predictor(Trained(Path("tiny"), model, tokenizer, 32))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return predictor_of(tiny_model(TOKENIZER))


def probabilities(model: Model, ids: list[int], place: int) -> torch.Tensor:
    """The model's answer at one place of one sequence, asked directly."""
    tokens = torch.tensor([TOKENIZER.special.cls, *ids, TOKENIZER.special.sep])
    with torch.no_grad():
        states = model(flat_batch(tokens, torch.zeros_like(tokens), torch.tensor([len(tokens)]))).hidden_states
        return model.masked_lm(states[place + 1 : place + 2])[0].softmax(-1)


def test_every_mask_gets_the_models_best_tokens(predictor: Predictor) -> None:
    text = "the [MASK] sat on a [MASK] ."
    ids = TOKENIZER.encode_with_offsets(text, specials=True)[0].tolist()
    answer = predictor.fill_mask(text, top_k=3)
    assert [len(candidates) for candidates in answer] == [3, 3]
    for place, candidates in zip([i for i, x in enumerate(ids) if x == MASK], answer, strict=True):
        scores, best = probabilities(predictor.model, ids, place).topk(3)
        assert [c["token_id"] for c in candidates] == best.tolist()
        assert [c["score"] for c in candidates] == pytest.approx(scores.tolist(), abs=1e-5)
        assert [c["token"] for c in candidates] == [TOKENIZER.id_to_token(i) for i in best.tolist()]


def test_the_filled_text_keeps_everything_else(predictor: Predictor) -> None:
    text = "The [MASK], sat on [MASK]?"
    assert predictor.fill_mask("The  [MASK],\tsat \u200bon [MASK]? ") == predictor.fill_mask(text)  # cleaned first
    for number, candidates in enumerate(predictor.fill_mask(text, top_k=TOKENIZER.vocab_size)):
        for candidate in candidates:
            token = candidate["token"]
            before, _, rest = text.partition("[MASK]") if number == 0 else text.rpartition("[MASK]")
            glued = token.startswith("##")
            assert candidate["text"] == (before.rstrip() if glued else before) + token.removeprefix("##") + rest


def test_many_texts_come_back_in_order(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the [MASK] " + "cat " * n for n in (9, 1, 20, 3, 14)] + ["[MASK] [MASK] dog"]
    alone = [predictor.fill_mask(text, 2) for text in texts]
    monkeypatch.setattr(filling, "HEAD_ROWS", 2)  # and so do masks that meet the vocabulary in several pieces
    together = predictor.fill_mask(texts, 2)
    assert [len(masks) for masks in together] == [1, 1, 1, 1, 1, 2]
    for one, many in zip(alone, together, strict=True):
        for mine, theirs in zip(one, many, strict=True):
            assert [c["token_id"] for c in mine] == [c["token_id"] for c in theirs]
            assert [c["score"] for c in mine] == pytest.approx([c["score"] for c in theirs], abs=1e-5)
    assert predictor.fill_mask([], 2) == []


def test_a_long_text_is_answered_from_around_each_mask(
    predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "the cat sat on a mat and dog ran over".split() * 10
    words[50] = words[95] = "[MASK]"
    answer = predictor.fill_mask(" ".join(words), top_k=2)
    assert "1 of 1 texts are longer than the 30 tokens" in capsys.readouterr().err
    ids = TOKENIZER.encode_with_offsets(" ".join(words), specials=True)[0].tolist()
    for place, candidates in zip((50, 95), answer, strict=True):
        start = min(place - 15, len(ids) - 30)
        best = probabilities(predictor.model, ids[start : start + 30], place - start).topk(2).indices
        assert [c["token_id"] for c in candidates] == best.tolist()
    exact = " ".join(words[45:75])  # 30 tokens: fits, so nothing is said
    predictor.fill_mask(exact)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("", "the text is empty"),
        ("  \n", "the text is empty"),
        ("\u200b\x07", "the text is empty"),
        ("no mask here", r"the text has no \[MASK\] to fill"),
        ("a <mask> of another family", r"write it as \[MASK\]"),
        (["the [MASK]", "none"], r"text 2 of 2 has no \[MASK\]"),
        (["the [MASK]", "\ud800 [MASK]"], "text 2 of 2 is not valid Unicode: lone surrogate U\\+D800 at position 1"),
        ("a\0 [MASK]", "NUL character at position 2"),
        ([3], "the text must be a string, not int"),
    ],
)
def test_unreadable_texts_are_one_clear_line(predictor: Predictor, texts: str | list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        predictor.fill_mask(texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("top_k", [0, -1, 10**6])
def test_top_k_has_a_range(predictor: Predictor, top_k: int) -> None:
    with pytest.raises(UsageError, match="top_k must be between 1 and"):
        predictor.fill_mask("[MASK]", top_k)


def test_a_mask_glued_to_words_is_found(predictor: Predictor) -> None:
    [[first, *_]] = predictor.fill_mask("今天[MASK]玩dota")
    assert first["text"].startswith("今天") and first["text"].endswith("玩dota")


def test_next_sentence_is_class_zero_of_the_pair_head(predictor: Predictor) -> None:
    first, second = "the cat sat .", "it was late ."
    ids = [TOKENIZER.encode_with_offsets(text)[0].tolist() for text in (first, second)]
    special = TOKENIZER.special
    tokens = torch.tensor([special.cls, *ids[0], special.sep, *ids[1], special.sep])
    types = torch.tensor([0] * (len(ids[0]) + 2) + [1] * (len(ids[1]) + 1))
    with torch.no_grad():
        encoded = predictor.model(flat_batch(tokens, types, torch.tensor([len(tokens)])))
        assert encoded.pooled is not None
        expected = float(predictor.model.pair(encoded.pooled).softmax(-1)[0, 0])
    assert predictor.next_sentence((first, second))["is_next"] == pytest.approx(expected, abs=1e-6)
    swapped, same = predictor.next_sentence([(second, first), (first, second)])
    assert same["is_next"] == pytest.approx(expected, abs=1e-6)
    assert abs(swapped["is_next"] - expected) > 1e-4


def test_a_long_pair_keeps_what_meets(predictor: Predictor, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = "dog " * 40 + "the cat sat on a mat and dog", "it was late " + "hill " * 40
    kept = ("dog " * 7 + "the cat sat on a mat and dog", "it was late " + "hill " * 11)
    answer = predictor.next_sentence((first, second))
    assert "1 of 1 pairs are longer than the 29 tokens" in capsys.readouterr().err
    assert answer["is_next"] == pytest.approx(predictor.next_sentence(kept)["is_next"], abs=1e-6)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (("a", ""), "the pair holds an empty text"),
        ([("a", "b"), ("a", "\udfff")], "pair 2 of 2 is not valid Unicode"),
        ([("a", "b", "c")], "pair 1 must be two texts"),
        (["ab"], "pair 1 must be two texts"),
    ],
)
def test_unreadable_pairs_are_one_clear_line(predictor: Predictor, pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictor.next_sentence(pairs)


def test_a_padded_vocabulary_is_never_answered() -> None:
    smaller = WordPieceTokenizer(TOKENIZER.tokens[:-10], lowercase=True)
    [answers] = predictor_of(tiny_model(TOKENIZER), smaller).fill_mask("the [MASK]", top_k=smaller.vocab_size)
    assert sorted(c["token_id"] for c in answers) == list(range(smaller.vocab_size))
    assert sum(c["score"] for c in answers) == pytest.approx(1, abs=1e-5)


def test_missing_heads_are_named() -> None:
    with pytest.raises(UsageError, match=r"no trained pair head \(trained heads: masked_lm\)"):
        predictor_of(tiny_model(TOKENIZER, ("masked_lm",))).next_sentence(("a", "b"))
    with pytest.raises(UsageError, match=r"no trained masked_lm head \(trained heads: pair\)"):
        predictor_of(tiny_model(TOKENIZER, ("pair",))).fill_mask("[MASK]")


def test_threads_share_one_predictor(predictor: Predictor) -> None:
    texts = [f"the {word} [MASK] on a {word}" for word in "cat dog mat hill night home".split()] * 4
    expected = [predictor.fill_mask(text, 3) for text in texts]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: predictor.fill_mask(text, 3), texts))
    for mine, theirs in zip(found, expected, strict=True):
        assert [c["token_id"] for c in mine[0]] == [c["token_id"] for c in theirs[0]]


def test_load_reads_a_model_folder_and_its_longest_length(tmp_path: Path, predictor: Predictor) -> None:
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    save_model(predictor.model, folder, pad_token_id=TOKENIZER.special.pad)
    TOKENIZER.save(folder, max_length=24)
    text = "the [MASK] sat on a mat ."
    for path in (tmp_path / "run", folder):
        loaded = Predictor.load(path)
        assert loaded.max_length == 24
        mine, theirs = loaded.fill_mask(text)[0], predictor.fill_mask(text)[0]
        assert [c["token_id"] for c in mine] == [c["token_id"] for c in theirs]
    with pytest.raises(UsageError, match="no such folder"):
        Predictor.load(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="holds no model"):
        Predictor.load(tmp_path)
