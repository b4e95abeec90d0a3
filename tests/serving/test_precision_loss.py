"""What a precision costs is measured on examples of a task, or on masked text, and told beside the figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith import pipeline
from bertsmith.cli import run
from bertsmith.models.config import TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.model import Model
from bertsmith.serving import precision_loss
from bertsmith.serving.precision_loss import judged_in, same_predictions
from bertsmith.tasks.evaluation import Evaluation, evaluate
from bertsmith.tasks.trained import Trained
from tests.stories import story, tiny_model, tiny_tokenizer
from tests.tiny_models import TINY
from tests.tiny_models import tiny_model as model_of
from tests.tiny_tasks import task_of, texts

TOKENIZER = tiny_tokenizer()
LABELS = ("bad", "good")
HEAD = TaskHead("sequence", LABELS)


def trained(seed: int = 0) -> Trained:
    model = model_of((), replace(TINY, vocab_size=TOKENIZER.vocab_size), seed=seed, task=HEAD).eval()
    return Trained(Path("tiny"), model, TOKENIZER, 24)


def judge(one: Trained) -> Evaluation:
    return evaluate(one, task_of("classification", LABELS), texts(40))


def test_int8_stands_beside_fp32() -> None:
    taken, found, exact = judged_in(trained(), "int8", judge)
    assert taken == "int8" and exact is not None
    assert exact.predictions == judge(trained()).predictions != found.predictions
    same = same_predictions(found, exact)
    assert 0.9 <= same <= 1 and abs(found.metrics["accuracy"] - exact.metrics["accuracy"]) <= 1 - same + 1e-9


def test_fp32_is_judged_once() -> None:
    asked: list[Trained] = []
    assert judged_in(trained(), "fp32", asked.append) == ("fp32", None, None)
    assert len(asked) == 1


def test_a_loss_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision_loss, "at_precision", lambda one, precision: (trained(seed=9).model, precision))
    _, found, exact = judged_in(trained(), "int8", judge)
    assert exact is not None and same_predictions(found, exact) < 1


def folder_of(model: Model, folder: Path) -> Path:
    """A model of random weights as a folder, with the tokenizer of these tests."""
    folder.mkdir()
    save_model(model, folder, pad_token_id=TOKENIZER.special.pad)
    TOKENIZER.save(folder, 24)
    return folder


def test_evaluate_mlm_tells_both(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("\n".join(document) for document in story(8)), encoding="utf-8")
    asked: dict[str, Any] = {"model": folder_of(tiny_model(TOKENIZER), tmp_path / "model"), "data": [str(text)]}
    plain, found = pipeline.evaluate_mlm(**asked), pipeline.evaluate_mlm(**asked, precision="int8")
    assert found["precision"] == "int8" and found["fp32"] == {name: plain[name] for name in found["fp32"]}
    assert found["loss"] != plain["loss"] and found["loss"] == pytest.approx(plain["loss"], rel=0.05)
    assert "fp32" not in plain


def test_evaluate_a_task_tells_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = folder_of(trained().model, tmp_path / "model"), tmp_path / "data.csv"
    rows = [f"{example.first},{example.label}" for example in texts(40)]
    data.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    asked = ["evaluate", "table", "--from", str(model), "--data", str(data)]
    assert run([*asked, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert run([*asked, "--precision", "int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fp32"] == plain["metrics"] and found["precision"] == "int8"
    assert 0.9 <= found["same_predictions"] <= 1
    assert run([*asked, "--precision", "int8"]) == 0
    shown = capsys.readouterr().out
    assert f"accuracy, fp32    {plain['metrics']['accuracy']:.4f}" in shown and "same predictions" in shown
