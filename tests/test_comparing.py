"""compare: what is read, what every model is asked, and what a student keeps of its teacher on pairs and on tasks."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith import pipeline
from bertsmith.cli import run
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.model import build_model
from bertsmith.report import comparison
from bertsmith.tasks.evaluation import predict
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.predictions import Classified
from bertsmith.tasks.trained import load_trained
from tests.stories import WORDS, story, tiny_tokenizer
from tests.tiny_models import TINY
from tests.tiny_tasks import task_of

SENTENCES = [" ".join(WORDS[(place * step + step) % len(WORDS)] for place in range(4)) for step in range(1, 41)]


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No note that the machine is busy."""
    monkeypatch.setattr(comparison, "DISTURBED", float("inf"))


def write(folder: Path, seed: int, layers: int, task: TaskHead | None = None) -> str:
    """A model of random weights: with a masked-LM head, or with that of a task."""
    tokenizer = tiny_tokenizer()
    config = replace(TINY, vocab_size=tokenizer.vocab_size, layers=layers, init_std=0.3)
    folder.mkdir(parents=True)
    heads = () if task else ("masked_lm",)
    save_model(build_model(config, heads, seed, task=task).eval(), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 24)
    return str(folder)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, head = tmp_path_factory.mktemp("classifiers"), TaskHead("sequence", ("bad", "good"))
    return [write(folder / "teacher", 0, 2, head), write(folder / "student", 1, 1, head)]


def agreeing(teacher: str, path: Path, wrong: int) -> Path:
    """A table of sentences with the labels that a teacher gives, but for the first `wrong` of them."""
    examples = [TextExample(str(number), text, None, None) for number, text in enumerate(SENTENCES)]
    given = predict(load_trained(teacher), task_of("classification", ("bad", "good")), examples)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for number, (example, said) in enumerate(zip(examples, given, strict=True)):
            assert isinstance(said, Classified)
            label = said.label if number >= wrong else {"bad": "good", "good": "bad"}[said.label]
            table.writerow([example.first, label])
    return path


def test_a_task_is_asked_of_fine_tuned_models(classifiers: list[str], tmp_path: Path) -> None:
    data = agreeing(classifiers[0], tmp_path / "data.csv", wrong=4)
    result = pipeline.compare(classifiers, task="table", task_data=data, out=tmp_path / "out")
    first, second = result["models"]
    alone = pipeline.evaluate_task("table", classifiers[1], data)
    assert first["task"]["value"] == pytest.approx(0.9)
    assert second["task"]["metrics"] == alone["metrics"]
    assert second["task"]["standard_error"] == alone["standard_error"]
    labels = [row["label"] for row in csv.DictReader(data.open())]
    majority = max(labels.count(label) for label in ("bad", "good")) / len(labels)
    assert result["baselines"] == {"task": pytest.approx(majority)}
    student = second["task"]["value"]
    expected = {"raw": student / 0.9, "above_baseline": (student - majority) / (0.9 - majority)}
    assert second["kept"] == {"task": pytest.approx(expected)}
    assert "table accuracy" in (tmp_path / "out" / "compare.html").read_text()


def test_the_commonest_answer_is_that_of_the_training_part(classifiers: list[str], tmp_path: Path) -> None:
    labels = ["good"] * 6 + ["bad"] * 14
    for name, several in (("train", ["good", "good", "bad"]), ("dev", labels)):
        rows = [f"{SENTENCES[number]},{label}" for number, label in enumerate(several)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    result = pipeline.compare(classifiers, task="table", task_data=tmp_path)
    assert result["baselines"]["task"] == pytest.approx(6 / 20)
    result = pipeline.compare(classifiers, task="table", task_data=tmp_path / "dev.csv")
    assert result["baselines"]["task"] == pytest.approx(14 / 20)


def test_columns_are_those_that_the_first_model_was_trained_on(classifiers: list[str], tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,body,label,mood\n" + "".join(f"x,{s},9,good\n" for s in SENTENCES[:9]))
    result = Path(classifiers[0], "result.json")
    columns = {"text": "body", "second": "", "label": "mood", "regression": False}
    result.write_text(json.dumps({"columns": columns}))
    try:
        found = pipeline.compare(classifiers, task="table", task_data=tmp_path / "data.csv")
    finally:
        result.unlink()
    assert found["models"][0]["task"]["examples"] == 9


def test_texts_only_time_models_without_a_masked_lm_head(classifiers: list[str], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(line for document in story(2) for line in document))
    data = agreeing(classifiers[0], tmp_path / "data.csv", wrong=4)
    result = pipeline.compare(classifiers, [str(text)], task="table", task_data=data)
    assert "texts" not in result["models"][0] and set(result["models"][1]["kept"]) == {"task"}
    assert result["notes"] == [f"{name} has no masked-LM head: it is asked the task alone" for name in classifiers]
    with pytest.raises(UsageError, match="it has no trained masked_lm head"):
        pipeline.compare(classifiers, [str(text)])


def test_minimal_pairs_are_held_against_one_half(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher, student = write(tmp_path / "teacher", 0, 2), write(tmp_path / "student", 1, 1)
    asked = tmp_path / "asked.jsonl"
    lines = []
    for number, sentence in enumerate(SENTENCES[:20]):  # turned so that the teacher is right but for every tenth
        one, other = sentence, " ".join(sentence.split()[::-1])
        for good, bad in ((one, other), (other, one)):
            line = json.dumps({"sentence_good": good, "sentence_bad": bad})
            asked.write_text(line)
            right = pipeline.evaluate_minimal_pairs(teacher, [str(asked)])["accuracy"] == 1.0
            if right == (number % 10 > 0):
                lines.append(line)
                break
    asked.write_text("\n".join(lines))
    assert run(["compare", teacher, student, "--pairs", str(asked), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    first, second = result["models"]
    assert result["baselines"] == {"minimal_pairs": 0.5}
    assert first["minimal_pairs"] == pytest.approx(0.9, abs=0.03)
    expected = (second["minimal_pairs"] - 0.5) / (first["minimal_pairs"] - 0.5)
    assert second["kept"]["minimal_pairs"]["above_baseline"] == pytest.approx(expected)
    assert second["kept"]["minimal_pairs"]["raw"] == second["minimal_pairs"] / first["minimal_pairs"]


def test_models_are_timed_on_lines_of_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.report import size_and_speed

    timed: list[str] = []
    encode = size_and_speed._sequence
    monkeypatch.setattr(size_and_speed, "_sequence", lambda t, line, n: timed.append(line) or encode(t, line, n))
    text = tmp_path / "text.txt"
    lines = [line for document in story(30) for line in document]
    text.write_text("\n".join(lines))
    model = write(tmp_path / "model", 0, 1)
    pipeline.compare([model], [str(text)])
    assert set(timed) <= set(lines) and len(set(timed)) > 50


def test_a_task_and_its_data_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--task-data is missing"):
        pipeline.compare(["a"], task="sst2")
    with pytest.raises(UsageError, match="--task is missing"):
        pipeline.compare(["a"], task_data=tmp_path)
    with pytest.raises(UsageError, match="ss2: there is no such task; did you mean sst2"):
        pipeline.compare(["a"], task="ss2", task_data=tmp_path)
