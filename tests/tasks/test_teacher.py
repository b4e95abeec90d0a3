"""Fine-tuning with a teacher: it fits or is refused in one line, answers in the student's words and units, resumes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bertsmith import store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import Model, build_model
from bertsmith.models.task_models import RAW, Scale
from bertsmith.objectives.soft_labels import SoftLabels
from bertsmith.tasks.finetuning import finetune_once
from bertsmith.tasks.finetuning_config import DistillationConfig
from bertsmith.tasks.job import Job
from bertsmith.tasks.task import Task
from bertsmith.tasks.teacher import find_teacher
from bertsmith.training.logs import read_metrics
from tests.killing import with_kills
from tests.tiny_models import TINY, random_batch
from tests.tiny_runs import TIMES
from tests.tiny_tasks import (
    FAMILIES,
    KINDS,
    choices,
    head_of,
    questions,
    scores,
    tagged_texts,
    task_of,
    texts,
    tiny_job,
    tokenizer_of,
    write_start,
)

LABELS = ("bad", "good")
TAGS = ("O", "B-PLACE", "B-THING")
CLASSES = task_of("classification", LABELS)
TOKENIZER = tokenizer_of("wordpiece")


def write_teacher(folder: Path, head: TaskHead, family: str = "bert", max_length: int = 24) -> Path:
    """A model with this head on random weights, which makes large differences, as a folder."""
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(KINDS[family])
    shape = replace(FAMILIES[family], vocab_size=tokenizer.vocab_size, layers=3, init_std=0.3)
    model = build_model(shape, (), 1, task=head)
    model.heads[head.kind].get_parameter("output.weight").detach().mul_(3)
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, max_length)
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "bert")


def job(teacher: Path | None, distillation: DistillationConfig | None = None, **values: Any) -> Job:
    made = tiny_job(CLASSES, texts(40), texts(24, 40), LABELS, **values)
    made = replace(made, config=replace(made.config, distillation=distillation or DistillationConfig()))
    return replace(made, teacher=teacher)


JOBS: dict[str, Callable[[], tuple[Task, list[Any], tuple[str, ...]]]] = {
    "classification": lambda: (CLASSES, texts(16), LABELS),
    "regression": lambda: (task_of("regression"), scores(18), ()),
    "choice": lambda: (task_of("choice"), choices(16), ()),
    "tagging": lambda: (task_of("tagging"), tagged_texts(16), TAGS),
    "answering": lambda: (task_of("answering"), questions(16), ()),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_student_comes_close_to_its_teacher(name: str, start: Path, tmp_path: Path) -> None:
    """The teacher's answers alone, which have nothing to do with the labels, are learnt."""
    task, examples, labels = JOBS[name]()
    teacher = write_teacher(tmp_path / "teacher", head_of(task, labels))
    values: dict[str, Any] = {"epochs": 25.0, "learning_rate": 5e-3, "validate_every": 100, "task_dropout": 0.0}
    made = tiny_job(task, examples, examples, labels, save_every=0, **values)
    alone = replace(made.config, distillation=DistillationConfig(weight=1.0))
    finetune_once(replace(made, config=alone, teacher=teacher), start, tmp_path / "run")
    losses = [line["labelled_loss"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in line]
    assert np.mean(losses[-2:]) < 0.5 * np.mean(losses[:2])


def answers(model: Model) -> Tensor:
    """What a model for sequences says of a few."""
    batch = random_batch((5, 9, 3), replace(TINY, vocab_size=TOKENIZER.vocab_size))
    return model.task_logits(model(batch), batch)


@pytest.mark.parametrize("written", [("good", "bad"), ("GOOD", "Bad"), ("bad", "good"), ("LABEL_0", "LABEL_1")])
def test_outputs_stand_in_the_order_of_the_student(written: tuple[str, ...], tmp_path: Path) -> None:
    folder, head = write_teacher(tmp_path / "teacher", TaskHead("sequence", written)), TaskHead("sequence", LABELS)
    model = find_teacher(folder, CLASSES, head, TOKENIZER, 24).load(head, RAW)
    assert model.task == head and not model.training and not any(p.requires_grad for p in model.parameters())
    plain = answers(load_model(folder))
    assert torch.equal(answers(model), plain.flip(1) if written[0].lower() == "good" else plain)


def test_scores_are_given_in_the_units_of_the_student(tmp_path: Path) -> None:
    task, head = task_of("regression"), TaskHead("sequence", ("score",), regression=True)
    folder = write_teacher(tmp_path / "teacher", head)
    model = find_teacher(folder, task, head, TOKENIZER, 24).load(head, Scale(300.0, 40.0))
    torch.testing.assert_close(answers(model), (answers(load_model(folder)) - 300) / 40, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["distilbert", "albert"])
def test_teacher_and_student_may_be_of_two_families(family: str, start: Path, tmp_path: Path) -> None:
    if KINDS[family] != KINDS["bert"]:
        start = write_start(tmp_path / "start", family)
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS), family)
    assert finetune_once(job(teacher, epochs=1.0), start, tmp_path / "run").steps == 5


def outcome(run: Path) -> tuple[str, list[dict[str, Any]]]:
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]
    return store.hash_file(run / "model" / "model.safetensors"), lines


def test_a_killed_run_ends_as_an_undisturbed_one(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS))
    made = job(teacher, precision="bf16", micro_batch=3)
    finetune_once(made, start, tmp_path / "whole")
    assert "teacher: " in (said := capsys.readouterr().err) and "temperature 2, weight 0.5" in said
    with_kills(lambda: finetune_once(made, start, tmp_path / "killed"), [2, 7], monkeypatch)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
    finetune_once(replace(made, teacher=None), start, tmp_path / "alone")
    assert outcome(tmp_path / "alone") != outcome(tmp_path / "whole"), "the teacher counts for something"
    assert {path.name for path in (tmp_path / "whole" / "model").iterdir()} == {
        path.name for path in (tmp_path / "alone" / "model").iterdir()
    }


def test_a_teacher_of_no_weight_changes_nothing(start: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS))
    finetune_once(job(teacher, DistillationConfig(weight=0.0)), start, tmp_path / "with")
    finetune_once(job(None), start, tmp_path / "without")
    assert outcome(tmp_path / "with") == outcome(tmp_path / "without")


def test_another_teacher_or_temperature_is_another_run(start: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS))
    finetune_once(job(teacher), start, tmp_path / "run")
    recipe = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert recipe["distillation"] == {"temperature": 2.0, "weight": 0.5}
    made_with = json.loads((tmp_path / "run" / "environment.json").read_text())["inputs"]
    assert made_with["teacher"] == store.hash_file(teacher / "model.safetensors")
    with pytest.raises(UsageError, match=r"distillation\.temperature was 2\.0 and is now 4\.0"):
        finetune_once(job(teacher, DistillationConfig(4.0)), start, tmp_path / "run")
    with pytest.raises(UsageError, match="another teacher"):
        finetune_once(job(None), start, tmp_path / "run")
    finetune_once(job(None), start, tmp_path / "alone")
    assert "distillation" not in (tmp_path / "alone" / "recipe.toml").read_text()
    with pytest.raises(UsageError, match="another teacher"):
        finetune_once(job(teacher), start, tmp_path / "alone")


def with_other_case(folder: Path) -> Path:
    """The same folder, its tokenizer reading another case."""
    file = folder / "tokenizer_config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "do_lower_case": not values["do_lower_case"]}))
    (folder / "tokenizer.json").unlink()
    return folder


UNFIT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda path: path, "there is no such folder"),
    "no head": (lambda path: write_start(path), r"has no head for a task .*finetune tiny --from"),
    "another kind": (lambda path: write_teacher(path, TaskHead("span")), "its head is for answering, and tiny is"),
    "a regression": (
        lambda path: write_teacher(path, TaskHead("sequence", ("score",), True)),
        "its head is for regression, and tiny is a task of classification",
    ),
    "other labels": (
        lambda path: write_teacher(path, TaskHead("sequence", ("bad", "great"))),
        "knows the labels bad, great; tiny has bad, good",
    ),
    "more labels": (
        lambda path: write_teacher(path, TaskHead("sequence", ("bad", "good", "so-so"))),
        "knows the labels bad, good, so-so; tiny has bad, good",
    ),
    "another vocabulary": (
        lambda path: write_teacher(path, TaskHead("sequence", LABELS), "roberta"),
        "its tokenizer is not the student's",
    ),
    "another case": (
        lambda path: with_other_case(write_teacher(path, TaskHead("sequence", LABELS))),
        "its tokenizer is not the student's",
    ),
    "too short": (
        lambda path: write_teacher(path, TaskHead("sequence", LABELS), max_length=16),
        "reads 16 tokens, and a sequence here may have 24; --task.max-length 16",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_teacher_that_does_not_fit_is_one_line(name: str, start: Path, tmp_path: Path) -> None:
    make, message = UNFIT[name]
    teacher = make(tmp_path / "teacher")
    with pytest.raises(UsageError, match=message) as caught:
        finetune_once(job(teacher), start, tmp_path / "run")
    assert "\n" not in str(caught.value) and str(teacher) in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_shorter_sequences_make_a_short_teacher_fit(start: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS), max_length=16)
    assert finetune_once(job(teacher, epochs=1.0, task_max_length=16), start, tmp_path / "run").steps == 5


def test_tags_have_to_be_the_same(start: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("tokens", ("O", "B-PLACE")))
    made = tiny_job(task_of("tagging"), tagged_texts(8), tagged_texts(8), TAGS)
    with pytest.raises(UsageError, match="knows the labels O, B-PLACE; tiny has O, B-PLACE, B-THING"):
        finetune_once(replace(made, teacher=teacher), start, tmp_path / "run")


def test_a_damaged_teacher_is_one_line(start: Path, tmp_path: Path) -> None:
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS))
    (teacher / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(BertsmithError, match=r"teacher/model\.safetensors") as caught:
        finetune_once(job(teacher), start, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_the_teacher_is_asked_in_the_precision_of_the_run(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    real = SoftLabels.score

    def score(self: SoftLabels, *arguments: Any) -> Any:
        seen.add(next(self.teacher.parameters()).dtype)
        assert not any(module.training for module in self.teacher.modules())
        return real(self, *arguments)

    monkeypatch.setattr(SoftLabels, "score", score)
    teacher = write_teacher(tmp_path / "teacher", TaskHead("sequence", LABELS))
    finetune_once(job(teacher, epochs=1.0, precision="bf16"), start, tmp_path / "run")
    assert seen == {torch.bfloat16}
