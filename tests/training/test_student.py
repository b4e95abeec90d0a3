"""A student from its teacher's layers, and a run that distils."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.data.corpus import Corpus
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import Model
from bertsmith.objectives.config import DistillationConfig, ObjectivesConfig
from bertsmith.training.logs import read_metrics
from bertsmith.training.pretraining import pretrain
from bertsmith.training.student import (
    POSITIONS,
    check_fitting,
    chosen_layers,
    inherited_fields,
    load_teacher,
    take_from_teacher,
    teacher_config,
)
from tests.tiny_models import ALBERT, DISTILBERT, ROBERTA, TINY, random_batch, tiny_model
from tests.tiny_runs import distilling, make_corpus, tiny_plan, write_teacher

PUBLISHED = DistillationConfig()
HEAD = ("masked_lm",)


@pytest.mark.parametrize(
    ("initial", "layers"),
    [
        ("spread", [0, 2, 4, 7, 9, 11]),
        ("every_other", [0, 2, 4, 6, 8, 10]),
        ("first", [0, 1, 2, 3, 4, 5]),
        ("last", [6, 7, 8, 9, 10, 11]),
    ],
)
def test_six_of_twelve_layers(initial: Any, layers: list[int]) -> None:
    assert chosen_layers(DistillationConfig(initial=initial), 6, 12) == layers


def test_other_numbers_of_layers() -> None:
    assert chosen_layers(PUBLISHED, 1, 4) == [0]
    assert chosen_layers(PUBLISHED, 4, 8) == [0, 2, 5, 7]
    assert chosen_layers(PUBLISHED, 4, 4) == [0, 1, 2, 3]
    assert chosen_layers(DistillationConfig(initial_layers=(3, 1)), 2, 4) == [3, 1]


@pytest.mark.parametrize(
    ("config", "wanted", "words"),
    [
        (PUBLISHED, 5, "the student has 5 and its teacher 4"),
        (DistillationConfig(initial="every_other"), 3, "every other of 4 layers"),
        (DistillationConfig(initial_layers=(1,)), 2, "names 1 layers, the student has 2"),
        (DistillationConfig(initial_layers=(0, 4)), 2, "4, but the teacher's 4 layers are counted from 0 to 3"),
    ],
)
def test_layers_that_are_not_there(config: DistillationConfig, wanted: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen_layers(config, wanted, 4)


def student_of(teacher: Model, config: EncoderConfig, distillation: DistillationConfig = PUBLISHED) -> Model:
    student = tiny_model(HEAD, config, seed=9)
    take_from_teacher(student, teacher, distillation)
    return student.eval()


@pytest.mark.parametrize(
    ("of_teacher", "of_student"),
    [(TINY, DISTILBERT), (TINY, TINY), (ROBERTA, ROBERTA), (replace(ROBERTA, layer_norm_eps=1e-12), DISTILBERT)],
    ids=["bert to distilbert", "bert", "roberta", "roberta to distilbert"],
)
def test_a_student_with_all_layers_is_its_teacher(of_teacher: EncoderConfig, of_student: EncoderConfig) -> None:
    """The trap of the released script: without types, row 0 of the type embedding has to go somewhere."""
    teacher = tiny_model(HEAD, of_teacher, seed=1).eval()
    positions = replace(of_student, max_positions=20)
    student = student_of(teacher, positions)
    batch = random_batch((5, 20, 9))
    batch = replace(batch, type_ids=torch.zeros_like(batch.type_ids))
    with torch.no_grad():
        mine, theirs = student(batch).hidden_states, teacher(batch).hidden_states
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(student.masked_lm(mine), teacher.masked_lm(theirs), atol=1e-5, rtol=1e-5)


def test_chosen_layers_are_copied_and_heads_too() -> None:
    teacher = tiny_model(HEAD, replace(TINY, layers=4), seed=1)
    student = student_of(teacher, DISTILBERT, DistillationConfig(initial_layers=(3, 1)))
    given = dict(teacher.named_parameters())
    for name, parameter in student.named_parameters():
        if name.startswith("encoder.layers."):
            taken = name.replace("layers.0.", "layers.3.")
            assert torch.equal(parameter, given[taken]), name
        elif name != POSITIONS:
            assert torch.equal(parameter, given[name]), name


def test_rows_beyond_the_vocabulary_are_left_behind() -> None:
    student = student_of(tiny_model(HEAD, replace(TINY, vocab_size=104), seed=1), DISTILBERT)
    assert student.encoder.embeddings.words.num_embeddings == 97


@pytest.mark.parametrize(
    ("of_teacher", "of_student", "words"),
    [
        (TINY, replace(DISTILBERT, hidden_size=16, embedding_size=16), "model.embedding_size: is 16 in the student"),
        (TINY, replace(DISTILBERT, heads=2), "model.heads: is 2 in the student and 4 in its teacher"),
        (TINY, replace(DISTILBERT, max_positions=25), "model.max_positions: is 25 in the student and 24"),
        (replace(ALBERT, embedding_size=32, activation="gelu"), DISTILBERT, "layers of the teacher share weights"),
    ],
)
def test_what_does_not_fit_is_named(of_teacher: EncoderConfig, of_student: EncoderConfig, words: str) -> None:
    teacher, student = tiny_model(HEAD, of_teacher), tiny_model(HEAD, of_student)
    with pytest.raises(UsageError, match=words):
        take_from_teacher(student, teacher, PUBLISHED)


# --- runs ---


@pytest.fixture
def teacher(corpus: Path, tmp_path: Path) -> Path:
    return write_teacher(corpus, tmp_path / "teacher")


def test_a_run_distils_and_says_how_far_the_student_is(corpus: Path, teacher: Path, tmp_path: Path) -> None:
    result = pretrain(distilling(steps=20, learning_rate=1e-2), corpus, tmp_path / "run", teacher=teacher)
    lines = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation" in line]
    distances = [line["validation"]["distillation_loss"] for line in lines]
    assert distances[-1] < 0.9 * distances[0]
    assert 0 < result.validation["distillation_accuracy"] <= 1
    model, given = load_model(Path(result.model)), load_model(teacher)
    assert model.config.family == "distilbert" and model.trained_heads == ("masked_lm",)
    types = given.encoder.embeddings.types
    assert types is not None
    frozen = given.encoder.embeddings.positions.weight + types.weight[0]
    assert torch.equal(model.encoder.embeddings.positions.weight, frozen)


def test_positions_are_trained_where_they_are_not_frozen(corpus: Path, teacher: Path, tmp_path: Path) -> None:
    result = pretrain(distilling(DistillationConfig(freeze_positions=False)), corpus, tmp_path / "run", teacher=teacher)
    given = load_model(teacher).encoder.embeddings
    assert given.types is not None
    learnt = load_model(Path(result.model)).encoder.embeddings.positions.weight
    assert not torch.equal(learnt, given.positions.weight + given.types.weight[0])


def test_without_a_weight_masked_tokens_are_only_looked_at(corpus: Path, teacher: Path, tmp_path: Path) -> None:
    """Their loss is told, and nothing is learnt from it: other words behind the masks change no weight."""
    none = DistillationConfig(mlm=0.0, kl=0.0)
    result = pretrain(distilling(none), corpus, tmp_path / "run", teacher=teacher)
    head = load_model(Path(result.model)).masked_lm_head()[0]
    assert torch.equal(head.bias, load_model(teacher).masked_lm_head()[0].bias)
    assert result.validation["masked_lm_loss"] > 0


def test_a_teachers_layers_may_be_all_that_is_taken(
    corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's ablation of all but the masked tokens' own loss: the teacher is the start and is never asked."""
    asked: list[Any] = []
    real = Model.forward
    monkeypatch.setattr(Model, "forward", lambda self, batch: asked.append(self.config.layers) or real(self, batch))
    config = DistillationConfig(kl=0.0, cosine=0.0)
    result = pretrain(distilling(config), corpus, tmp_path / "run", teacher=teacher)
    assert result.validation["masked_lm_loss"] > 0 and set(asked) == {2}
    with pytest.raises(UsageError, match="objectives.use: without masked_lm"):
        alone = replace(distilling(config), objectives=ObjectivesConfig(use=("distillation",), distillation=config))
        pretrain(alone, corpus, tmp_path / "other", teacher=teacher)


def test_a_student_of_another_width_learns_relations(corpus: Path, tmp_path: Path) -> None:
    wide = write_teacher(corpus, tmp_path / "wide", hidden_size=48, embedding_size=48, heads=4, intermediate_size=64)
    parts = {"kl": 0.0, "mlm": 0.0, "cosine": 0.0, "relations": 1.0, "relation_heads": 4}
    config = DistillationConfig(**parts, initial="random", freeze_positions=False)
    plan = distilling(config, steps=60, learning_rate=1e-2, validate_every=10)
    pretrain(plan, corpus, tmp_path / "run", teacher=wide)
    lines = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation" in line]
    distances = [line["validation"]["distillation_loss"] for line in lines]
    assert distances[-1] < 0.9 * distances[0]


def test_what_a_run_refuses(corpus: Path, teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--teacher is missing"):
        pretrain(distilling(), corpus, tmp_path / "run")
    with pytest.raises(UsageError, match="the recipe distils nothing"):
        pretrain(tiny_plan(), corpus, tmp_path / "run", teacher=teacher)
    other = make_corpus(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match="its vocabulary is not the corpus's"):
        pretrain(distilling(), other, tmp_path / "run", teacher=teacher)
    pretrain(distilling(), corpus, tmp_path / "run", teacher=teacher)
    second = write_teacher(corpus, tmp_path / "second", init_std=0.5)
    model = tiny_model(config=load_model(teacher).config, seed=7)
    save_model(model, second, pad_token_id=0)
    with pytest.raises(UsageError, match="started with another teacher"):
        pretrain(distilling(), corpus, tmp_path / "run", teacher=second)


def test_a_student_has_the_sizes_of_its_teacher(corpus: Path, teacher: Path) -> None:
    fields = inherited_fields(DistillationConfig(), teacher_config(teacher))
    assert inherited_fields(DistillationConfig(initial="random"), teacher_config(teacher)) == {}
    assert (fields["hidden_size"], fields["heads"], fields["max_positions"]) == (32, 2, 128)
    assert "layers" not in fields and "family" not in fields
    assert len(load_teacher(teacher, Corpus.open(corpus).tokenizer).encoder.layers) == 4


def test_a_student_must_fit_its_teacher() -> None:
    student, teacher = (
        EncoderConfig(hidden_size=32, layers=2, heads=2),
        EncoderConfig(hidden_size=64, layers=4, heads=2),
    )
    with pytest.raises(UsageError, match="model.embedding_size: is 32 in the student and 64 in its teacher"):
        check_fitting(student, teacher, DistillationConfig(), 128)
    anew = DistillationConfig(initial="random")
    check_fitting(student, teacher, anew, 512)
    with pytest.raises(UsageError, match="cut.length: 513 tokens, but the teacher reads 512 at the most"):
        check_fitting(student, teacher, anew, 513)
