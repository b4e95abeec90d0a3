"""Study files: what they hold, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith import config
from bertsmith.errors import UsageError
from bertsmith.recipe import load_recipe
from bertsmith.studies.study import load_study, shipped

WHOLE = """
question = "Which?"
base = "bert-tiny"
[budget]
tokens = 1000
[set]
cut.length = 64
[[arms]]
name = "a"
[[arms]]
name = "b"
set = { model.layers = 1 }
[[claims]]
better = "a"
worse = "b"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, WHOLE), {"budget.steps": "7", "training.threads": "1"}, seeds=5)
    assert (study.name, study.seeds, study.budget.unit_and_amount) == ("mine", 5, ("steps", 7))
    assert study.set == {"cut": {"length": 64}, "training": {"threads": 1}}
    assert study.sets == {"a": {}, "b": {"model": {"layers": 1}}}
    assert [(claim.better, claim.worse, claim.metric) for claim in study.claims] == [("a", "b", "loss")]


@pytest.mark.parametrize("name", shipped())
def test_shipped_studies_are_sound(name: str) -> None:
    """Their recipes exist, what arms set fits them, and every claim compares arms that differ."""
    study = load_study(name)
    assert study.question.endswith("?") and study.claims
    for arm in study.arms:
        values = config.flat_values(config.merge(study.set, study.sets[arm.name]))
        load_recipe(arm.recipe or study.base, {"training.steps": 1, **values}).check()
    for claim in study.claims:
        one, other = study.arm(claim.better), study.arm(claim.worse)
        same = (one.recipe, one.teacher, one.corpus, study.sets[one.name]) == (
            other.recipe,
            other.teacher,
            other.corpus,
            study.sets[other.name],
        )
        assert not same, claim


def test_every_question_has_a_study() -> None:
    assert set(shipped()) == {
        *("next-sentence", "sentence-order", "input-format", "static-dynamic", "batch-size", "more-data"),
        *("embedding-size", "sharing", "depth", "width", "tokenizer", "whole-word", "distillation", "family"),
        *("learning-rate", "short-first"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('question = "Which?"', ""), "question: missing"),
        (
            ("tokens = 1000", "tokens = 1000\nsteps = 5"),
            "one of tokens, steps, operations or minutes, not tokens, steps",
        ),
        (("tokens = 1000", "tokens = -1"), "budget.tokens"),
        (("cut.length", "cut.lenth"), "set.cut.lenth: unknown key; did you mean"),
        (("model.layers = 1", 'model.layers = "one"'), "arms.2.set.model.layers"),
        (('name = "b"', 'name = "a"'), "arms: a is there twice"),
        (('name = "b"', 'name = "b"\ncolour = 1'), "arms.2: colour: unknown key"),
        (('name = "b"', 'name = "b"\nteacher = "c"'), "its teacher c is no other arm"),
        (('name = "b"', 'name = "b"\nteacher_share = 0.5'), "teacher_share and no teacher"),
        (('name = "b"', 'name = "b"\nrates = [-1.0]'), "rates must be above 0"),
        (('name = "b"', 'name = "a/b"'), "'a/b': a name is letters"),
        (('name = "b"', 'name = "A"'), "arms: a is there twice"),
        (('name = "b"', 'name = "b"\nrates = [1e-3, 0.001]'), "a rate is there twice"),
        (("model.layers = 1", "seed = 3"), "set.seed: --seeds says how many there are"),
        (("model.layers = 1", "tokenizer.size = 5000"), "set.tokenizer.size: is settled when a corpus is prepared"),
        (("cut.length = 64", "training.steps = 5"), "set.training.steps: the study has a budget; give --budget.steps"),
        (('worse = "b"', 'worse = "b"\nmetric = "task "'), "there is no metric task"),
        (('worse = "b"', 'worse = "c"'), "claims.1: no arm is called c"),
        (('worse = "b"', 'worse = "a"'), "are the same arm"),
        (('worse = "b"', 'worse = "b"\nmetric = "los"'), "there is no metric los; did you mean loss"),
        (('base = "bert-tiny"', 'base = "bert-tini"'), "bert-tini: no such recipe"),
    ],
)
def test_a_mistake_is_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        load_study(write(tmp_path, WHOLE.replace(*change)))
    assert message in str(raised.value)


def test_unknown_studies_and_flags_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="famly: no such study .*did you mean family"):
        load_study("famly")
    with pytest.raises(UsageError, match=r"--budget.token: unknown flag"):
        load_study("family", {"budget.token": "5"})
    with pytest.raises(UsageError, match=r"--model.layer: unknown flag"):
        load_study("family", {"model.layer": "5"})
    for flags, message in (
        ({"training.steps": "5"}, r"--training.steps: the study has a budget; give --budget.steps"),
        ({"text.field": "body"}, r"--text.field: is settled when a corpus is prepared"),
        ({"model.layers": "2"}, r"--model.layers: arm b of mine sets its own"),
    ):
        with pytest.raises(UsageError, match=message):
            load_study(write(tmp_path, WHOLE), flags)


def test_a_teacher_may_not_teach_itself(tmp_path: Path) -> None:
    text = WHOLE.replace('name = "a"', 'name = "a"\nteacher = "b"').replace('name = "b"', 'name = "b"\nteacher = "a"')
    with pytest.raises(UsageError, match="arms: a: teaches itself, through b"):
        load_study(write(tmp_path, text))


def test_without_claims_the_first_arm_is_held_against_the_others(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, WHOLE[: WHOLE.index("[[claims]]")]))
    assert [(claim.better, claim.worse) for claim in study.claims] == [("a", "b")]
