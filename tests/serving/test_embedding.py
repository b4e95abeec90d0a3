"""Texts as vectors: pooling, what the model was trained to give, order, long texts, threads, and bad input."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from bertsmith.batch import flat_batch
from bertsmith.errors import UsageError
from bertsmith.models.model import build_model
from bertsmith.serving.predictor import Predictor
from bertsmith.tasks import forward
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.trained import TaskSettings, Trained
from tests.stories import tiny_model, tiny_tokenizer
from tests.tiny_tasks import FAMILIES, KINDS, tokenizer_of

TOKENIZER = tiny_tokenizer()
TEXTS = ["the cat", "a dog ran over the hill", "it was late at night", "so they went home", "dog"]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(Trained(Path("tiny"), tiny_model(TOKENIZER), TOKENIZER, 32))


def states(predictor: Predictor, text: str) -> torch.Tensor:
    """The last hidden states of a text, asked directly."""
    ids = TOKENIZER.encode_with_offsets(text)[0].tolist()
    tokens = torch.tensor([TOKENIZER.special.cls, *ids, TOKENIZER.special.sep])
    with torch.no_grad():
        return predictor.model(flat_batch(tokens, torch.zeros_like(tokens), torch.tensor([len(tokens)]))).hidden_states


def test_a_vector_is_the_mean_or_the_first_state(predictor: Predictor) -> None:
    found = {pooling: predictor.embed(TEXTS, pooling) for pooling in ("mean", "cls")}
    for number, text in enumerate(TEXTS):
        assert found["mean"][number] == pytest.approx(states(predictor, text).mean(0).numpy(), abs=1e-5)
        assert found["cls"][number] == pytest.approx(states(predictor, text)[0].numpy(), abs=1e-5)
    assert found["mean"].dtype == np.float32 and found["mean"].shape == (len(TEXTS), 32)
    assert np.array_equal(predictor.embed(TEXTS), found["mean"])  # the default of a model that says nothing
    assert predictor.embed(TEXTS[0]).shape == (32,) and predictor.embed([]).shape == (0, 32)


def test_the_model_says_how_its_vectors_are_made(predictor: Predictor) -> None:
    config = TaskConfig(pooling="cls", normalize=True)
    settings = TaskSettings("sentence-pairs", "similarity", (), ("spearman",), config)
    own = Predictor(predictor.trained._replace(settings=settings))
    vectors = predictor.embed(TEXTS, "cls")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    assert own.embed(TEXTS) == pytest.approx(vectors / lengths, abs=1e-6)
    assert own.embed(TEXTS, "mean", normalize=False) == pytest.approx(predictor.embed(TEXTS), abs=1e-6)
    first, second = vectors[:2] / lengths[:2]
    assert own.similarity((TEXTS[0], TEXTS[1]))["score"] == pytest.approx(float(first @ second), abs=1e-5)


def test_many_texts_are_read_ahead_and_come_back_in_order(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = predictor.embed(TEXTS)
    monkeypatch.setattr(forward, "POOL", 2)
    assert predictor.embed(TEXTS * 3) == pytest.approx(np.concatenate([alone] * 3), abs=1e-5)


def test_what_fails_while_reading_ahead_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "POOL", 2)

    def prepare(pool: list[int]) -> list[int]:
        if 5 in pool:
            raise UsageError("five")
        return [-number for number in pool]

    several = forward.read_ahead(range(9), prepare)
    assert [next(several), next(several)] == [([0, 1], [0, -1]), ([2, 3], [-2, -3])]
    with pytest.raises(UsageError, match="five"):
        next(several)
    assert list(forward.read_ahead(range(4), prepare)) == [([0, 1], [0, -1]), ([2, 3], [-2, -3])]
    assert list(forward.read_ahead([], prepare)) == []


def test_long_texts_are_cut_and_counted(predictor: Predictor, capsys: pytest.CaptureFixture[str]) -> None:
    found = predictor.embed(["the cat " * 40, "the dog"])
    assert "1 of 2 texts are longer than the 30 tokens" in capsys.readouterr().err
    assert found[0] == pytest.approx(predictor.embed("the cat " * 15), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), (" \n", "is empty"), ("a\0b", "NUL character at position 2"), ("\ud800", "lone surrogate")],
)
def test_what_is_no_text_is_one_clear_line(predictor: Predictor, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"text 2 of 2.*{message}"):
        predictor.embed(["fine", text])
    with pytest.raises(UsageError, match="pair 1 must be two texts"):
        predictor.similarity(["ab"])  # type: ignore[list-item]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_megabyte_without_a_space_takes_about_a_second(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = tokenizer_of(KINDS[family])
    model = build_model(replace(FAMILIES[family], vocab_size=tokenizer.vocab_size), (), 0)
    predictor = Predictor(Trained(Path("tiny"), model, tokenizer, 24))
    predictor.embed("warm up")
    started = process_time()
    predictor.embed("a" * 1_000_000)
    assert process_time() - started < 5  # of a machine that may be busy; quadratic time would take hours


def test_threads_share_one_tokenizer(predictor: Predictor) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [[f"{a}{b}{letters[i]} {b}{a}" for a in letters[::3] for b in letters[::2]] for i in range(8)]
    expected = [predictor.embed(several) for several in texts]
    fresh = Predictor(predictor.trained._replace(tokenizer=tiny_tokenizer()))  # nothing remembered yet
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(fresh.embed, texts))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
