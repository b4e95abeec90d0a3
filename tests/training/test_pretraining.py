"""One run folder: the same line again, another line, and what is refused."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith import store
from bertsmith.config import build
from bertsmith.data.config import CutConfig
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import load_model
from bertsmith.objectives.config import ObjectivesConfig
from bertsmith.training import measurement
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from bertsmith.training.logs import read_metrics
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import make_corpus, tiny_plan


@pytest.fixture(scope="session")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    pretrain(tiny_plan(), corpus, folder)
    return folder


def test_a_finished_run_says_so_and_gives_the_same_result(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pretrain(tiny_plan(), corpus, tmp_path / "run")
    capsys.readouterr()
    assert pretrain(tiny_plan(), corpus, tmp_path / "run") == first
    assert "this run is finished" in capsys.readouterr().err
    assert first.steps == 6
    assert first.validation["sequences"] == 16


def test_what_lies_in_a_run(finished: Path) -> None:
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {
        "recipe.toml", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints", "model", "result.json"
    }  # fmt: skip
    lines = list(read_metrics(finished / "metrics.jsonl"))
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert all(line["unigram_loss"] < line["uniform_loss"] for line in lines if "loss" in line)


def test_transformers_free_model_folder(finished: Path) -> None:
    assert load_model(finished / "model").trained_heads == ("masked_lm", "pair")
    settings = json.loads((finished / "model" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == 64
    store.verify(finished / "model", "model")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda p: replace(p, seed=1), "seed was 0 and is now 1"),
        (lambda p: replace(p, training=replace(p.training, learning_rate=1e-3)), r"training\.learning_rate was 0\.003"),
        (lambda p: replace(p, training=replace(p.training, steps=7)), r"training\.steps was 6 and is now 7"),
        (lambda p: replace(p, model=replace(p.model, layers=3)), r"model\.layers was 2 and is now 3"),
        (lambda p: replace(p, masking=replace(p.masking, rate=0.2)), r"masking\.rate was 0\.15"),
        (lambda p: replace(p, cut=replace(p.cut, length=32)), r"cut\.length was 64"),
        (lambda p: replace(p, objectives=ObjectivesConfig(("masked_lm",))), r"objectives\.use was"),
        (lambda p: replace(p, long_phase=LongPhaseConfig(share=0.1, length=128)), r"long_phase\.share was 0\.0"),
    ],
)
def test_another_line_is_refused_and_names_the_field(corpus: Path, finished: Path, change: Any, field: str) -> None:
    with pytest.raises(UsageError, match=field):
        pretrain(change(tiny_plan()), corpus, finished)


def test_a_run_goes_on_under_a_version_that_has_more_fields(corpus: Path, tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints" / "step-6")
    record = json.loads((run / "environment.json").read_text())
    for values in (record["asked"], record["resolved"]):
        del values["objectives"]["distillation"]["hidden"], values["masking"]["rarity"]
    (run / "environment.json").write_text(json.dumps(record))
    pretrain(tiny_plan(), corpus, run)
    assert store.hash_file(run / "model" / "model.safetensors") == store.hash_file(
        finished / "model" / "model.safetensors"
    )
    with pytest.raises(UsageError, match=r"masking\.rarity was 0\.0 and is now 0\.5"):
        plan = tiny_plan()
        pretrain(replace(plan, masking=replace(plan.masking, rarity=0.5)), corpus, run)


def test_another_corpus_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="started with another corpus"):
        pretrain(tiny_plan(), make_corpus(tmp_path / "other", seed=5), finished)


def test_another_initial_model_is_refused(corpus: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match="started with another initial model"):
        pretrain(tiny_plan(), corpus, finished, init=finished / "model")


def test_saving_logging_and_workers_may_change(corpus: Path, tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "run"
    pretrain(tiny_plan(), corpus, run)
    (run / "result.json").unlink()
    shutil.rmtree(run / "checkpoints" / "step-6")
    pretrain(tiny_plan(save_every=1, keep=1, log_every=2, workers=1), corpus, run)
    assert store.hash_file(run / "model" / "model.safetensors") == store.hash_file(
        finished / "model" / "model.safetensors"
    )


def test_a_lost_model_is_written_again_from_the_last_checkpoint(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = pretrain(tiny_plan(), corpus, run)
    before = store.hash_file(run / "model" / "model.safetensors")
    shutil.rmtree(run / "model")
    assert pretrain(tiny_plan(), corpus, run).validation == first.validation
    assert store.hash_file(run / "model" / "model.safetensors") == before


def test_without_a_checkpoint_another_line_starts_anew(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(tiny_plan(), corpus, run)
    shutil.rmtree(run / "checkpoints")
    (run / "result.json").unlink()
    pretrain(tiny_plan(steps=4), corpus, run)
    assert tomllib.loads((run / "recipe.toml").read_text())["training"]["steps"] == 4
    assert [line["step"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line] == [1, 2, 3, 4]


def test_a_folder_that_is_no_run_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all I have")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        pretrain(tiny_plan(), corpus, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, training=replace(p.training, batch_size=100_000)), "fewer than one batch of 100000"),
        (
            lambda p: replace(p, training=replace(p.training, warmup=5.0)),
            r"training\.warmup: 5 steps are more than",
        ),
        (lambda p: replace(p, cut=CutConfig(length=256)), r"cut\.length: 256 is more than model\.max_positions = 128"),
        (lambda p: replace(p, long_phase=LongPhaseConfig(share=0.5)), r"long_phase\.length: 512 is more than"),
        (lambda p: replace(p, cut=CutConfig("full_sentences")), "needs a cut that makes pairs"),
        (lambda p: replace(p, model=replace(p.model, heads=3)), r"model\.heads = 3 does not divide"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(
    corpus: Path, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(BertsmithError, match=message) as caught:
        pretrain(change(tiny_plan()), corpus, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")]


def test_a_loss_that_is_not_finite_stops_with_its_step_and_keeps_the_checkpoint(corpus: Path, tmp_path: Path) -> None:
    plan = tiny_plan(learning_rate=1e30, clip=0.0, warmup=0.0, save_every=1)
    with pytest.raises(BertsmithError, match=r"^step 2: the (masked_lm loss is (nan|inf)|gradient norm)"):
        pretrain(plan, corpus, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-1"]


def test_minutes_become_steps_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "MEASURED_SECONDS", 0.05)
    run = tmp_path / "run"
    plan = tiny_plan(steps=0, minutes=0.01, save_every=1000)
    result = pretrain(plan, corpus, run)
    written = tomllib.loads((run / "recipe.toml").read_text())
    assert written["training"]["steps"] == result.steps > 0
    assert written["training"]["minutes"] == 0
    (run / "result.json").unlink()
    monkeypatch.setattr(measurement, "settle", lambda *_: pytest.fail("measured twice"))
    assert pretrain(plan, corpus, run).steps == result.steps


def test_the_run_s_own_recipe_is_the_same_line(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked as "auto" or in minutes is written out in RUN/recipe.toml; both describe the run."""
    monkeypatch.setattr(measurement, "MEASURED_SECONDS", 0.05)
    run = tmp_path / "run"
    result = pretrain(tiny_plan(steps=0, minutes=0.01, precision="auto", compile="auto"), corpus, run)
    tables = tomllib.loads((run / "recipe.toml").read_text())
    training = build(TrainingConfig, tables["training"], "")
    model = build(EncoderConfig, tables["model"], "")
    assert training.precision in ("fp32", "bf16")
    assert training.compile == "off"
    again: PretrainingPlan = replace(tiny_plan(), training=training, model=model)
    assert pretrain(again, corpus, run) == result


def test_the_written_recipe_states_the_vocabulary_found(corpus: Path, tmp_path: Path) -> None:
    text = 'name = "mine"\n[tokenizer]\nsize = "auto"\nlowercase = true\n'
    pretrain(replace(tiny_plan(), recipe_text=text), corpus, tmp_path / "run")
    written = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert written["name"] == "mine"
    assert written["tokenizer"] == {"size": 300, "lowercase": True}
    assert written["model"]["vocab_size"] == 300


def test_settings_of_a_resume_are_those_of_the_start(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(tiny_plan(threads=2), corpus, run)
    (run / "result.json").unlink()
    torch.set_num_threads(1)
    pretrain(tiny_plan(threads=2), corpus, run)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_another_machine_is_one_warning(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    pretrain(tiny_plan(), corpus, run)
    (run / "result.json").unlink()
    record = json.loads((run / "environment.json").read_text())
    record["machine"]["torch"] = "1.0"
    record["settings"]["world"] = 2
    (run / "environment.json").write_text(json.dumps(record))
    capsys.readouterr()
    pretrain(tiny_plan(), corpus, run)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "bit for bit" in line]
    assert len(warnings) == 1
    assert "torch 1.0 -> " in warnings[0]
    assert "ranks 2 -> 1" in warnings[0]


def test_two_phases_train_both_lengths_and_state_the_longest(corpus: Path, tmp_path: Path) -> None:
    plan = replace(tiny_plan(steps=8), long_phase=LongPhaseConfig(share=0.25, length=128, batch_size=4))
    result = pretrain(plan, corpus, tmp_path / "run")
    tokens = [line["tokens"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "tokens" in line]
    per_step = [after - before for before, after in zip([0, *tokens], tokens, strict=False)]
    assert max(per_step[:6]) <= 8 * 64
    assert max(per_step[6:]) <= 4 * 128
    assert max(per_step[6:]) / 4 > 64
    assert json.loads((Path(result.model) / "tokenizer_config.json").read_text())["model_max_length"] == 128


def test_each_phase_is_validated_on_rows_like_its_own(corpus: Path, tmp_path: Path) -> None:
    """What is said at the end is what a run without a first phase is asked; before, what one without a second is."""
    base = tiny_plan(steps=8, validate_every=4)
    long = replace(base, cut=replace(base.cut, length=128), masking=replace(base.masking, max_predictions=80))
    two = replace(base, long_phase=LongPhaseConfig(share=0.5, length=128))

    def guesses(plan: PretrainingPlan, name: str) -> list[float]:
        pretrain(plan, corpus, tmp_path / name)
        lines = read_metrics(tmp_path / name / "metrics.jsonl")
        return [line["validation"]["unigram_loss"] for line in lines if "validation" in line]

    of_short, of_long, of_two = guesses(base, "short"), guesses(long, "long"), guesses(two, "two")
    assert of_short[0] != of_long[0]
    assert of_two == [of_short[0], of_long[0]]


def test_a_run_learns(corpus: Path, tmp_path: Path) -> None:
    """The made-up words have spelling: pieces inside a word can be guessed from those around them."""
    plan = tiny_plan(steps=300, optimizer="adamw", beta2=0.98, learning_rate=5e-3, save_every=0, log_every=100)
    result = pretrain(replace(plan, model=replace(plan.model, dropout=0.0, attention_dropout=0.0)), corpus, tmp_path)
    assert result.validation["masked_lm_loss"] < result.validation["unigram_loss"]
