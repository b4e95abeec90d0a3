"""Labels, entities, answers and similarities from models with task heads, and what each refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.model import build_model
from bertsmith.serving.entities import entities_of
from bertsmith.serving.predictor import Predictor
from bertsmith.tasks.predictions import Tagged
from tests.stories import tiny_tokenizer
from tests.tiny_models import TINY

HEADS = {
    "sequence": TaskHead("sequence", ("bad", "good", "so-so")),
    "score": TaskHead("sequence", ("score",), regression=True),
    "tokens": TaskHead("tokens", ("O", "B-X", "I-X")),
    "span": TaskHead("span"),
    "none": None,
}


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    from dataclasses import replace

    tokenizer = tiny_tokenizer()
    config = replace(TINY, vocab_size=tokenizer.vocab_size, init_std=0.4, dropout=0.0, attention_dropout=0.0)
    found = {}
    for name, head in HEADS.items():
        folder: Path = tmp_path_factory.mktemp(name)
        model = build_model(config, () if head else ("masked_lm",), 0, task=head)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        save_model(model, folder, pad_token_id=tokenizer.special.pad)
        tokenizer.save(folder, 24)
        found[name] = Predictor.load(folder)
    return found


def test_labels_have_probabilities(predictors: dict[str, Predictor]) -> None:
    found = predictors["sequence"].classify(["the cat sat", "a dog ran over the hill", ("the cat", "the dog")])
    assert all(label["label"] in ("bad", "good", "so-so") and 1 / 3 <= label["score"] <= 1 for label in found)
    alone = predictors["sequence"].classify(["the cat sat"])
    assert alone[0]["score"] == pytest.approx(found[0]["score"], abs=1e-5)


def test_a_regression_gives_its_value(predictors: dict[str, Predictor]) -> None:
    [label] = predictors["score"].classify([("the cat", "a dog")])
    [similar] = predictors["score"].similarity([("the cat", "a dog")])
    assert label["label"] == "score" and similar == {"score": pytest.approx(label["score"])}


def test_similarity_is_a_cosine(predictors: dict[str, Predictor]) -> None:
    for name in ("none", "sequence"):
        same, other = predictors[name].similarity([("the cat", "the cat"), ("the cat sat", "hill it was late")])
        assert same["score"] == pytest.approx(1.0, abs=1e-5) and -1 <= other["score"] < 0.999


def test_long_texts_are_cut_and_told(predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str]) -> None:
    predictors["none"].similarity([("the cat " * 40, "the dog")])
    assert "1 of 2 texts are longer" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["the cat  sat, on a mat!", "今天 我们, 上学"])
def test_entities_lie_where_they_say(predictors: dict[str, Predictor], text: str) -> None:
    [found] = predictors["tokens"].tag([text])
    for entity in found:
        assert text[entity["start"] : entity["end"]] == entity["word"]
        assert entity["label"] == "X" and 0 < entity["score"] <= 1


def test_answers_lie_in_the_context(predictors: dict[str, Predictor]) -> None:
    context = "The cat  sat on a mat. " * 6
    [found] = predictors["span"].answer([("who sat ?", context)])
    assert set(found) == {"answer", "score", "start", "end"}
    assert found["answer"] == context[found["start"] : found["end"]]


@pytest.mark.parametrize(
    ("name", "verb", "message"),
    [
        ("none", "classify", "no task head"),
        ("tokens", "classify", "its head is for tag"),
        ("sequence", "tag", "its head is for classify"),
        ("sequence", "answer", "its head is for classify"),
    ],
)
def test_another_kind_of_model_is_refused(predictors: dict[str, Predictor], name: str, verb: str, message: str) -> None:
    asked = [("q", "c")] if verb == "answer" else ["a"]
    with pytest.raises(UsageError, match=message):
        getattr(predictors[name], verb)(asked)


@pytest.mark.parametrize("text", ["", "  ", "a\0b", "\ud800"])
def test_what_is_no_text_is_refused(predictors: dict[str, Predictor], text: str) -> None:
    with pytest.raises(UsageError):
        predictors["sequence"].classify([text])
    with pytest.raises(UsageError):
        predictors["span"].answer([("who ?", text)])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-X I-X O", [("X", 1, 3)]),
        ("B-X B-X I-Y", [("X", 0, 1), ("X", 1, 2), ("Y", 2, 3)]),
        ("I-X I-X", [("X", 0, 2)]),
        ("S-X B-Y I-Y E-Y", [("X", 0, 1), ("Y", 1, 4)]),
        ("B-X E-X I-X", [("X", 0, 2), ("X", 2, 3)]),
        ("O O", []),
        ("X X O Y", [("X", 0, 2), ("Y", 3, 4)]),
    ],
)
def test_tags_spell_entities(tags: str, expected: list[tuple[str, int, int]]) -> None:
    words = tags.split()
    spans = [(10 * i, 10 * i + 5) for i in range(len(words))]
    found = entities_of(Tagged(tuple(words), (0.5,) * len(words)), spans)
    assert [(s.label, s.start // 10, s.end // 10 + 1) for s in found] == expected
