"""Vectors of texts from the command line: from pairs, scores and plain text to a model that is judged and asked."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith import cli
from tests.main_job import ask
from tests.stories import WORDS
from tests.tiny_tasks import alike, write_start

FAST = "--training.batch-size 8 --training.precision fp32 --training.compile off --training.threads 1".split()
LEARN = [*FAST, "--training.epochs", "10", "--training.learning-rate", "5e-3", "--training.validate-every", "20"]
NAME = "sentence-pairs"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "bert")


def table(path: Path, times: float = 1.0) -> Path:
    """Pairs with labels 0 and 1, or with scores 0 and `times`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence1", "sentence2", "label"])
        labels = [f"{float(example.label or 0) * times:g}" for example in alike(36)]
        writer.writerows([e.first, e.second, label] for e, label in zip(alike(36), labels, strict=True))
    return path


def test_pairs_are_learnt_judged_and_asked(start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = table(tmp_path / "pairs.csv")
    line: list[Any] = ["finetune", NAME, "--from", start, "--data", pairs, "--validation", pairs]
    line += ["--out", tmp_path / "out", *LEARN, "--seeds", "2"]
    result = ask(*line)
    assert (result["task"], result["metric"]) == (NAME, "average_precision")
    assert set(result["baselines"]) == {"majority", "tfidf", "untrained", "random_weights"}
    assert result["validation"]["average_precision"] > 0.9 > result["baselines"]["majority"]["average_precision"]
    assert result["seeds"]["count"] == 2 and result["columns"]["second"] == "sentence2"
    assert (tmp_path / "out" / "report.html").is_file()
    assert "AutoModel.from_pretrained" in (tmp_path / "out" / "model" / "README.md").read_text()
    settings = json.loads((tmp_path / "out" / "model" / "task.json").read_text())["config"]
    assert (settings["objective"], settings["pooling"], settings["normalize"]) == ("contrastive", "mean", True)
    capsys.readouterr()
    assert ask(*line) == result and "is finished" in capsys.readouterr().err
    judged = ask("evaluate", NAME, "--from", tmp_path / "out", "--data", pairs)
    assert judged["metrics"] == pytest.approx(result["validation"])
    score = ask("predict", "similarity", "--from", tmp_path / "out", "the cat", "a mat")["score"]
    assert score > ask("predict", "similarity", "--from", tmp_path / "out", "the cat", "a dog")["score"]


def test_scores_and_plain_text_are_learnt(start: Path, tmp_path: Path) -> None:
    scored = table(tmp_path / "scored.csv", 2.5)
    line = ["--from", start, "--baselines", "none", *FAST, "--training.steps", "6"]
    result = ask("finetune", NAME, "--data", scored, "--out", tmp_path / "scored", *line)
    assert set(result["validation"]) == {"spearman", "pearson"}
    text = tmp_path / "text.txt"
    text.write_text("".join(f"the {WORDS[i % 7]} {WORDS[i % 11]} {WORDS[i % 5]}\n" for i in range(60)))
    result = ask("finetune", NAME, "--data", text, "--out", tmp_path / "text", *line)
    assert set(result["validation"]) == {"retrieval", "mrr"} and result["examples"]["validation"] == 3
    judged = ask("finetune", NAME, "--data", text, "--validation", scored, "--out", tmp_path / "judged", *line)
    assert set(judged["validation"]) == {"spearman", "pearson"} and judged["examples"]["train"] == 60


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--data {d}/one.csv", "holds one text in a row"),
        ("--data {d}/no.csv", "there is no such file or folder"),
        ("--data {d}/pairs.csv --task.objective simcsee", "task.objective"),
        ("--data {d}/pairs.csv --teacher {m}", "--teacher: sentence-pairs is learnt from the data alone"),
        ("--data {d}/pairs.csv --training.batch-size 1", "leave a pair alone"),
    ],
)
def test_wrong_usage_is_one_line(
    line: str, message: str, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(tmp_path / "pairs.csv")
    (tmp_path / "one.csv").write_text("text,label\na,0\nb,1\n")
    asked = line.format(d=tmp_path, m=start).split()
    assert cli.run(["finetune", NAME, "--from", str(start), *asked, "--out", str(tmp_path / "out"), *FAST[2:]]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and "Traceback" not in printed.err


def test_only_pairs_take_a_validation_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_start(tmp_path / "start")
    line = ["finetune", "sst2", "--from", str(folder), "--data", "d", "--validation", "v", "--out", str(tmp_path / "o")]
    assert cli.run(line) == 2
    assert "--validation: sst2 has a validation part of its own" in capsys.readouterr().err
