"""The report of a fine-tuning: every task's mistakes, confusions and sureness, with everything escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.report.confusion import confusion_plot
from bertsmith.report.finetuning import Judged, verdict, write_report
from bertsmith.report.finetuning_card import card
from bertsmith.report.mistakes import calibration, class_figures, confusion, worst_mistakes
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Prediction, Regressed, Tagged
from tests.tiny_models import TINY
from tests.tiny_tasks import alike, choices, questions, scores, tagged_texts, task_of

HOSTILE = "<script>alert('x')</script> & \"quoted\""
LABELS = ("good", "<b>bad</b>")


def classified() -> tuple[list[TextExample], list[Prediction]]:
    examples = [TextExample(f"t.csv:{i}", f"{HOSTILE} {i}", None, LABELS[i % 2]) for i in range(20)]
    sure = [0.55 + 0.02 * i for i in range(20)]
    predictions: list[Prediction] = []
    for i, share in enumerate(sure):
        given = LABELS[(i + (i % 5 == 0)) % 2]
        other = LABELS[1 - LABELS.index(given)]
        predictions.append(Classified(given, {given: share, other: 1 - share}))
    return examples, predictions


def result(metrics: dict[str, float], **over: Any) -> dict[str, Any]:
    metric = next(iter(metrics))
    values: dict[str, Any] = {
        "task": "table",
        "metric": metric,
        "steps": 30,
        "seconds": 12.5,
        "validation": metrics,
        "standard_error": 0.02,
        "baselines": {"majority": dict.fromkeys(metrics, 0.5), "tfidf": dict.fromkeys(metrics, 0.6)},
        "seeds": {"count": 2, "mean": metrics, "standard_deviation": dict.fromkeys(metrics, 0.01)},
        "runs": [
            {"name": "seed-0", "validation": metrics, "best_step": 20, "seconds": 6.0},
            {"name": "seed-1", "validation": None, "best_step": None, "seconds": None, "failed": HOSTILE},
        ],
        "best": "seed-0",
        "examples": {"train": 100, "validation": 20},
    }
    return {**values, **over}


PREDICTIONS: dict[str, Any] = {
    "classification": classified,
    "regression": lambda: (scores(9), [Regressed(0.1 * i) for i in range(9)]),
    "choice": lambda: (choices(9), [Chosen(0, (0.6, 0.3, 0.1)[: len(e.choices)]) for e in choices(9)]),
    "tagging": lambda: (
        tagged_texts(9),
        [Tagged(("O",) * len(e.words), (0.9,) * len(e.words)) for e in tagged_texts(9)],
    ),
    "answering": lambda: (questions(9, True), [Answered("", 0, 0, 0.7, 1.0, "cat")] * 9),
    "similarity": lambda: (alike(9), [Compared(0.1 * number, 1 + number, True) for number in range(9)]),
}


def write(folder: Path, kind: str) -> str:
    examples, predictions = PREDICTIONS[kind]()
    run = folder / "runs" / "seed-0"
    run.mkdir(parents=True)
    lines = ['{"step": 10, "loss": 0.7}', '{"step": 10, "validation": {"accuracy": 0.6}}', '{"step": 20, "loss": 0.5}']
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text('name = "seed-0"\n\n[training]\nsteps = 30\n')
    labels = LABELS if kind == "classification" else ("O", "B-THING", "B-PLACE") if kind == "tagging" else ()
    metrics = dict.fromkeys(task_of(kind).metrics, 0.75)
    judged = Judged(task_of(kind, labels), labels, examples, predictions)
    return write_report(folder, result(metrics), judged).read_text("utf-8")


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_every_kind_of_task_has_a_report(tmp_path: Path, kind: str) -> None:
    page = write(tmp_path, kind)
    assert "The worst mistakes" in page and "was taken for" in page and "TF-IDF" in page
    drawings = {"classification": 4, "regression": 1, "choice": 3, "tagging": 2, "answering": 1, "similarity": 1}
    assert page.count("<svg") == drawings[kind]
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)


def test_everything_is_escaped(tmp_path: Path) -> None:
    page = write(tmp_path, "classification")
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "<b>bad</b>" not in page and "&lt;b&gt;bad&lt;/b&gt;" in page


def test_the_surest_mistakes_come_first() -> None:
    examples, predictions = classified()
    found = worst_mistakes(examples, predictions)
    assert [m.place for m in found] == ["t.csv:15", "t.csv:10", "t.csv:5", "t.csv:0"]
    assert found[0].truth != found[0].given and "85.0% sure" in found[0].note
    assert len(worst_mistakes(examples, predictions, 2)) == 2


def test_pairs_that_stand_elsewhere_by_their_cosine_come_first() -> None:
    scored = [TextExample(f"t:{number}", "a", "b", float(number)) for number in range(8)]
    cosines = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -1.0]
    found = worst_mistakes(scored, [Compared(cosine, 1, True) for cosine in cosines])
    assert [m.place for m in found] == ["t:7"] and "nearer than 12% of the pairs; by its score, than 100%" in found[
        0
    ].note
    together = [example._replace(label=1.0) for example in scored[:3]]
    found = worst_mistakes(together, [Compared(0.5, 1, True), Compared(0.4, 3, True), Compared(0.9, 2, True)])
    assert [m.place for m in found] == ["t:1", "t:2"] and found[0].note.startswith("2 of those")


def test_confusions_are_counted_by_truth() -> None:
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b"), ("c", "a")]
    counts = confusion(pairs, ("a", "b", "c"))
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    figures = class_figures(counts, ("a", "b", "c"))
    assert [(f.label, f.examples, f.taken_for) for f in figures] == [("c", 1, "a (1)"), ("a", 2, "b (1)"), ("b", 2, "")]
    assert figures[2].recall == 1.0 and figures[2].precision == pytest.approx(2 / 3)
    svg = confusion_plot(np.array([[3, 1], [0, 2]]), ("a & b", "x" * 40))
    assert "a &amp; b" in svg and svg.count("<rect") == 4


def test_sureness_against_truth() -> None:
    examples = [TextExample(str(i), "a", None, "x") for i in range(10)]
    predictions = [Classified("x" if i < 6 else "y", {"x": 0.8, "y": 0.8}) for i in range(10)]
    found = calibration(examples, predictions)
    assert found is not None
    assert (found.sure, found.right, found.counts) == ([pytest.approx(0.8)], [0.6], [10])
    assert found.error == pytest.approx(0.2)
    assert calibration(scores(2), [Regressed(1.0)] * 2) is None


@pytest.mark.parametrize(("value", "said"), [(0.9, "0.300 less"), (0.61, "may be chance"), (0.3, "not worth its cost")])
def test_the_verdict_is_honest(value: float, said: str) -> None:
    assert said in verdict(result({"accuracy": value}), task_of("classification", LABELS))


def test_a_teacher_stands_beside_its_student(tmp_path: Path) -> None:
    teacher = {"model": "t", "temperature": 2.0, "weight": 0.5, "validation": {"accuracy": 0.8}}
    task = task_of("classification", LABELS)
    taught = result({"accuracy": 0.76}, teacher=teacher)
    assert "It learnt from a teacher that reaches 0.800, of which it keeps 95.0%." in verdict(taught, task)
    assert "| its teacher | 0.8000 |" in card(taught, task, LABELS, TINY, tmp_path)
    worthless = result({"pearson": 0.7}, teacher={**teacher, "validation": {"pearson": -0.1}})
    assert "a teacher that reaches -0.100." in verdict(worthless, task_of("regression"))


def test_the_card_names_what_the_hub_asks_for(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("steps = 3\n")
    for kind, tag in (
        ("classification", "text-classification"),
        ("answering", "question-answering"),
        ("similarity", "sentence-similarity"),
    ):
        task = task_of(kind, LABELS if kind == "classification" else ())
        text = card(result(dict.fromkeys(task.metrics, 0.7)), task, task.labels, TINY, tmp_path)
        assert text.startswith("---\n") and f"pipeline_tag: {tag}\n" in text and "steps = 3" in text
        assert "| TF-IDF with a linear model | 0.6000" in text
