"""Fine-tuning in one run folder: it learns, keeps the best, ends early, and the same line again goes on exactly."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith import interrupt, store
from bertsmith.errors import BertsmithError, Stopped, UsageError
from bertsmith.models.folder import load_model
from bertsmith.tasks import job as job_module
from bertsmith.tasks.evaluation import evaluate, predict, task_of
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.finetuning import finetune_once, shape_of
from bertsmith.tasks.job import Job
from bertsmith.tasks.predictions import Regressed
from bertsmith.tasks.trained import load_trained
from bertsmith.training import run as run_module
from bertsmith.training.logs import read_metrics
from tests.killing import Killed, with_kills
from tests.tiny_runs import TIMES
from tests.tiny_tasks import (
    alike,
    choices,
    questions,
    scores,
    tagged_texts,
    texts,
    tiny_job,
    write_start,
)
from tests.tiny_tasks import task_of as tiny_task

LABELS = ("bad", "good")
CLASSIFICATION = tiny_task("classification", LABELS)
FAST: dict[str, Any] = {"epochs": 12.0, "learning_rate": 5e-3, "log_every": 50, "save_every": 0, "validate_every": 20}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "bert")


def job(**values: Any) -> Job:
    return tiny_job(CLASSIFICATION, texts(40), texts(24, 40), LABELS, **values)


JOBS: dict[str, Callable[[], Job]] = {
    "classification": lambda: job(**FAST),
    "regression": lambda: tiny_job(tiny_task("regression"), scores(36), scores(24), **FAST),
    "choice": lambda: tiny_job(tiny_task("choice"), choices(36), choices(24), **FAST),
    "tagging": lambda: tiny_job(
        tiny_task("tagging"), tagged_texts(40), tagged_texts(20), ("O", "B-PLACE", "B-THING"), **FAST
    ),
    "answering": lambda: tiny_job(tiny_task("answering"), questions(40), questions(20), **FAST),
    "contrastive": lambda: tiny_job(
        tiny_task("similarity"), alike(36), alike(36), **FAST, task_objective="contrastive"
    ),
    "cosine": lambda: tiny_job(tiny_task("similarity"), alike(36), alike(36), **FAST, task_objective="cosine"),
}


def chosen_of(prediction: Any) -> Any:
    """What a prediction says, without its probabilities, which other sequences in the batch may change by rounding."""
    return round(prediction[0], 3) if isinstance(prediction[0], float) else prediction[0]


@pytest.mark.parametrize("name", JOBS)
def test_every_type_learns_and_its_model_is_evaluated_alike(name: str, start: Path, tmp_path: Path) -> None:
    made = JOBS[name]()
    result = finetune_once(made, start, tmp_path / "run")
    metric = made.task.metrics[0]
    assert result.validation[metric] > 0.8
    trained = load_trained(tmp_path / "run")
    assert trained.settings is not None and trained.settings.type == made.task.type
    found = evaluate(trained, made.task, made.validation)
    assert found.metrics == pytest.approx(result.validation)
    assert len(found.predictions) == found.examples == len(made.validation)
    again = list(predict(trained, task_of(trained), iter(made.validation[:3])))
    assert [chosen_of(prediction) for prediction in again] == [chosen_of(p) for p in found.predictions[:3]]


def test_scores_of_any_size_are_learnt_and_given_as_they_are(start: Path, tmp_path: Path) -> None:
    def prices(examples: list[TextExample]) -> list[TextExample]:
        return [example._replace(label=300_000 + 40_000 * float(example.label or 0)) for example in examples]

    small = tiny_job(tiny_task("regression"), scores(36), scores(24), **FAST)
    large = tiny_job(tiny_task("regression"), prices(scores(36)), prices(scores(24)), **FAST)
    plain = finetune_once(small, start, tmp_path / "plain")
    finetune_once(large, start, tmp_path / "prices")
    trained = load_trained(tmp_path / "prices")
    found = evaluate(trained, large.task, large.validation)
    assert found.metrics["pearson"] == pytest.approx(plain.validation["pearson"], abs=1e-3)
    wanted = np.array([example.label for example in large.validation])
    assert (
        np.abs(np.array([p.value for p in found.predictions if isinstance(p, Regressed)]) - wanted).mean()
        < 0.5 * wanted.std()
    )
    brief = replace(large.config.training, epochs=0.0, steps=1, learning_rate=1e-6)
    going_on = replace(large, config=replace(large.config, training=brief))
    further = finetune_once(going_on, tmp_path / "prices", tmp_path / "further")
    assert further.validation["pearson"] == pytest.approx(found.metrics["pearson"], abs=1e-3), "the head came along"


@pytest.mark.parametrize("family", ["albert", "roberta", "distilbert"])
def test_every_family_is_trained(family: str, tmp_path: Path) -> None:
    start = write_start(tmp_path / "start", family)
    result = finetune_once(job(**FAST), start, tmp_path / "run")
    assert result.validation["accuracy"] > 0.8
    assert load_model(Path(result.model)).config.family == family


def test_what_lies_in_a_run(start: Path, tmp_path: Path) -> None:
    result = finetune_once(job(), start, tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
    assert names == {"recipe.toml", "environment.json", "metrics.jsonl", "tensorboard", "model", "result.json"}
    lines = list(read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert [line["step"] for line in lines if "labelled_loss" in line] == list(range(1, 11))
    assert [entry["step"] for entry in result.history] == [3, 6, 9, 10], "four validations in few epochs"
    written = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert written["task"]["max_length"] == 24 and written["training"]["steps"] == 10
    settings = json.loads((tmp_path / "run" / "model" / "task.json").read_text())
    assert settings["labels"] == list(LABELS) and settings["config"]["max_length"] == 24


def test_longer_runs_are_validated_every_epoch(start: Path, tmp_path: Path) -> None:
    result = finetune_once(job(epochs=3.0), start, tmp_path / "run")
    assert [entry["step"] for entry in result.history] == [5, 10, 15]
    assert [entry["epoch"] for entry in result.history] == [1.0, 2.0, 3.0]


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Validations give these accuracies, one after another."""
    given = iter(values)
    monkeypatch.setattr(job_module, "score", lambda *_: {"accuracy": next(given)})


def test_the_best_model_is_kept(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1, 0.7, 0.7, 0.2])
    kept = finetune_once(job(epochs=4.0), start, tmp_path / "kept")
    assert kept.best_step == 10 and kept.validation == {"accuracy": 0.7} and kept.steps == 20
    schedule = {"epochs": 4.0, "task_patience": 1}
    scripted(monkeypatch, [0.1, 0.7, 0.6, 0.9])
    early = finetune_once(job(**schedule), start, tmp_path / "early")
    assert early.best_step == 10 and early.steps == 15, "training ended when nothing was gained"
    same = [store.hash_file(tmp_path / name / "model" / "model.safetensors") for name in ("kept", "early")]
    assert same[0] == same[1]


def test_the_same_line_again_says_it_is_finished(
    start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = finetune_once(job(), start, tmp_path / "run")
    capsys.readouterr()
    assert finetune_once(job(), start, tmp_path / "run") == first
    assert "this run is finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"learning_rate": 1e-4}, r"training\.learning_rate was 0\.002"),
        ({"task_layer_decay": 0.9}, r"task\.layer_decay was 1\.0"),
        ({"epochs": 3.0}, r"training\.epochs was 2\.0"),
    ],
)
def test_another_line_is_refused(change: dict[str, Any], field: str, start: Path, tmp_path: Path) -> None:
    finetune_once(job(), start, tmp_path / "run")
    with pytest.raises(UsageError, match=field):
        finetune_once(job(**change), start, tmp_path / "run")


def test_a_run_goes_on_under_a_version_that_has_more_fields(start: Path, tmp_path: Path) -> None:
    first = finetune_once(job(), start, tmp_path / "run")
    file = tmp_path / "run" / "environment.json"
    record = json.loads(file.read_text())
    for values in (record["asked"], record["resolved"]):
        del values["task"]["objective"]
    file.write_text(json.dumps(record))
    assert finetune_once(job(), start, tmp_path / "run") == first


def test_other_data_or_another_model_is_refused(start: Path, tmp_path: Path) -> None:
    finetune_once(job(), start, tmp_path / "run")
    with pytest.raises(UsageError, match="another training data"):
        finetune_once(replace(job(), inputs={"training data": "other"}), start, tmp_path / "run")
    with pytest.raises(UsageError, match=r"another initial model|random_weights was"):
        finetune_once(job(), start, tmp_path / "run", random=True)


def test_random_weights_are_the_same_shape(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finetune_once(job(), start, tmp_path / "run", random=True)
    assert "head starts from random weights" not in capsys.readouterr().err
    assert load_model(tmp_path / "run" / "model").config.hidden_size == shape_of(start).hidden_size == 32


def outcome(run: Path) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Weights, every line of metrics, and the result without times and places."""
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]
    result = json.loads((run / "result.json").read_text())
    kept = {k: v for k, v in result.items() if k not in ("seconds", "peak_memory", "model")}
    return store.hash_file(run / "model" / "model.safetensors"), lines, kept


VARIANTS: dict[str, dict[str, Any]] = {
    "rates of layers, micro-batches, a loader worker": {"task_layer_decay": 0.7, "micro_batch": 3, "workers": 1},
    "bf16 and class weights": {"precision": "bf16", "task_class_weights": "balanced"},
}
PAIRED: dict[str, dict[str, Any]] = {
    "contrastive, micro-batches": {"task_objective": "contrastive", "micro_batch": 4, "workers": 1},
    "simcse, whose views follow from dropout": {"task_objective": "simcse", "precision": "bf16"},
    "cosine, first token": {"task_objective": "cosine", "task_pooling": "cls"},
}


def first_of(variants: dict[str, Any]) -> list[Any]:
    """The first of them; the others where there is time."""
    first, *rest = variants
    return [first, *(pytest.param(name, marks=pytest.mark.slow) for name in rest)]


@pytest.mark.parametrize("variant", first_of(VARIANTS))
def test_a_killed_run_ends_as_an_undisturbed_one(
    variant: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(epochs=3.0, **VARIANTS[variant])
    finetune_once(made, start, tmp_path / "whole")
    with_kills(lambda: finetune_once(made, start, tmp_path / "killed"), [2, 5, 8, 15], monkeypatch)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("variant", first_of(PAIRED))
def test_a_killed_run_of_pairs_ends_as_an_undisturbed_one(
    variant: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny_job(tiny_task("similarity"), alike(36), alike(36), **{"epochs": 3.0, **PAIRED[variant]})
    finetune_once(made, start, tmp_path / "whole")
    with_kills(lambda: finetune_once(made, start, tmp_path / "killed"), [2, 5, 8], monkeypatch)
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("where", ["best model.before-manifest", "model.renamed"])
def test_a_crash_in_the_middle_of_writing(
    where: str, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(epochs=3.0)
    finetune_once(made, start, tmp_path / "whole")

    def crash(point: str) -> None:
        if point == where:
            raise Killed

    with monkeypatch.context() as patched:
        for place in ("bertsmith.store.folders", "bertsmith.store"):
            patched.setattr(f"{place}.crash_point", crash)
        with pytest.raises(Killed):
            finetune_once(made, start, tmp_path / "run")
    finetune_once(made, start, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("step", [4, 5, 15])
def test_sigterm_saves_and_the_same_line_goes_on(
    step: int, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a step that is due for a validation, which the signal cuts short, and in the last one."""
    made = job(epochs=3.0)
    finetune_once(made, start, tmp_path / "whole")
    real = run_module.Run._log

    def log(self: Any, made_step: Any) -> str:
        if made_step.number == step:
            monkeypatch.setattr(interrupt, "_requested", "SIGTERM")
        return real(self, made_step)

    monkeypatch.setattr(run_module.Run, "_log", log)
    monkeypatch.setattr(run_module, "agreed_signal", lambda device: interrupt.requested())
    with pytest.raises(Stopped, match=rf"after step {step if step in (5, 15) else step + 1} of 15; a checkpoint is"):
        finetune_once(made, start, tmp_path / "run")
    interrupt.clear()
    monkeypatch.setattr(run_module.Run, "_log", real)
    finetune_once(made, start, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_without_validation_the_last_weights_are_the_model(start: Path, tmp_path: Path) -> None:
    result = finetune_once(replace(job(), validation=[]), start, tmp_path / "run")
    assert result.validation == {} and result.history == [] and result.best_step == 10
    assert (tmp_path / "run" / "model" / "task.json").is_file()


def test_what_was_cut_is_told(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = [example._replace(first=f"{example.first} the cat sat on a mat and ran") for example in texts(20)]
    made = replace(job(epochs=1.0, task_max_length=10), train=long)
    assert finetune_once(made, start, tmp_path / "run").truncated == 20
    assert "20 of 20 training examples are longer than the 10 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task_max_length": 100}, r"task\.max_length: 100 is more than the 24 tokens"),
        ({"steps": 5}, "both set; keep one budget"),
        ({"warmup": 9.0}, r"training\.warmup: 9 steps are more than"),
    ],
)
def test_what_cannot_be_trained_is_one_line(values: dict[str, Any], message: str, start: Path, tmp_path: Path) -> None:
    with pytest.raises(BertsmithError, match=message) as caught:
        finetune_once(job(**values), start, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_class_weights_need_classes(start: Path, tmp_path: Path) -> None:
    made = tiny_job(tiny_task("answering"), questions(8), questions(8), task_class_weights="balanced")
    with pytest.raises(UsageError, match=r"task\.class_weights: balanced is for classification"):
        finetune_once(made, start, tmp_path / "run")
