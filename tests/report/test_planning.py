"""What `plan` answers for a recipe, against the plan's own numbers; times are only looked at for their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith import pipeline
from bertsmith.data.config import CutConfig
from bertsmith.errors import UsageError
from bertsmith.report.planning import plan_run, render
from bertsmith.training.config import LongPhaseConfig
from bertsmith.training.plan import PretrainingPlan
from tests.tiny_runs import distilling, tiny_plan, write_teacher


def small(**training: object) -> PretrainingPlan:
    plan = tiny_plan(**training)
    return replace(plan, cut=CutConfig(length=32), model=replace(plan.model, vocab_size=500), recipe_name="small")


def test_a_budget_in_tokens_needs_no_corpus() -> None:
    found = plan_run(small(steps=0, tokens=40_000, batch_size=10), None)
    assert found["tokens_per_step"] <= 320
    assert found["steps"] == pytest.approx(40_000 / found["tokens_per_step"], abs=1)
    assert found["precision"] == "fp32" and not found["compiled"] and found["exact"]
    assert found["tokens_per_second"] == pytest.approx(
        found["tokens_per_step"] / found["step_milliseconds"] * 1000, rel=0.01
    )
    assert found["seconds"] > found["steps"] * found["step_milliseconds"] / 1000
    parts = found["memory"]
    assert parts["total"] == sum(size for name, size in parts.items() if name != "total")


def test_epochs_want_a_corpus(english: Path) -> None:
    plan = small(steps=0, epochs=2.0)
    without = plan_run(plan, None)
    assert without["steps"] is None and without["seconds"] is None
    within = plan_run(plan, english)
    assert within["steps"] > 0 and within["seconds"] > 0
    text = render([without, within])
    assert "needs --corpus" in text and f"{within['steps']:,}" in text


def test_a_long_phase_decides_memory_and_takes_its_share_of_the_tokens() -> None:
    plan = small(steps=100)
    longer = replace(plan, long_phase=LongPhaseConfig(share=0.5, length=64))
    short, both = plan_run(plan, None), plan_run(longer, None)
    assert both["memory"]["activations"] > 1.5 * short["memory"]["activations"]
    assert 1.3 < both["tokens_per_step"] / short["tokens_per_step"] < 1.7


def test_a_plan_that_contradicts_itself_is_refused() -> None:
    plan = small()
    with pytest.raises(UsageError, match="max_positions"):
        plan_run(replace(plan, cut=CutConfig(length=4096)), None)


def test_a_student_is_planned_with_its_teacher(english: Path) -> None:
    plan = replace(distilling(), recipe_name="student")
    teacher = replace(plan.model, layers=8, vocab_size=6000).resolved()
    alone, taught = plan_run(plan, english), plan_run(plan, english, teacher)
    assert taught["parameters"] == alone["parameters"]  # as many words as the corpus, not as the teacher
    assert taught["operations_per_token"]["teacher"] > 0 == alone["operations_per_token"]["teacher"]
    assert taught["memory"]["weights"] > alone["memory"]["weights"]
    assert taught["step_milliseconds"] > alone["step_milliseconds"]
    assert plan_run(plan, None, teacher)["parameters"]["parts"]["word_embeddings"] == 6000 * 32


def test_a_student_that_does_not_fit_its_teacher_is_refused() -> None:
    plan = distilling()
    with pytest.raises(UsageError, match="model.layers: the student has 2 and its teacher 1"):
        plan_run(plan, None, replace(plan.model, layers=1).resolved())


def test_plan_names_a_teacher_for_recipes_that_distil(
    english: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = write_teacher(english, tmp_path / "teacher")
    flags = {"model.layers": 1, "training.batch_size": 2, "cut.length": 16, "training.threads": 1}
    student, other = pipeline.plan(["distilbert-tiny", "bert-tiny"], english, flags, teacher)["recipes"]
    assert student["operations_per_token"]["teacher"] > 0 == other["operations_per_token"]["teacher"]
    assert student["parameters"]["parts"]["position_embeddings"] == 128 * 32, "the sizes are the teacher's"
    assert capsys.readouterr().err == ""
    pipeline.plan(["distilbert-tiny"], english, flags)
    assert "distilbert-tiny: what a teacher costs is not counted" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--teacher: nothing distils of bert-tiny"):
        pipeline.plan(["bert-tiny"], english, flags, teacher)
    with pytest.raises(UsageError, match="no/such: there is no such folder"):
        pipeline.plan(["distilbert-tiny"], english, flags, "no/such")
