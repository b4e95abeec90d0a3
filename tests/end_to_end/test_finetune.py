"""From a user's table, and from a folder of tasks, to models that answer: through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file

from bertsmith import cli, store
from tests.main_job import ask
from tests.tiny_tasks import scores, tagged_texts, texts, write_start

FAST = "--training.batch-size 8 --training.precision fp32 --training.compile off --training.threads 1".split()
TINY = [*FAST, "--training.steps", "6", "--training.learning-rate", "1e-3"]


class Bank(NamedTuple):
    """A table, the model it was learnt from, and what came out."""

    table: Path
    start: Path
    out: Path
    result: dict[str, Any]

    @property
    def line(self) -> list[Any]:
        """What was typed."""
        table = ["--from", self.start, "--data", self.table, "--text", "message", "--label", "kind"]
        learn = ["--training.epochs", "8", "--training.learning-rate", "5e-3"]
        return ["finetune", "table", *table, "--out", self.out, *FAST, *learn]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("bank")
    table = folder / "messages.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "message", "kind"])
        writer.writerows([i, example.first, example.label] for i, example in enumerate(texts(80)))
    made = Bank(table, write_start(folder / "start"), folder / "out", {})
    return made._replace(result=ask(*made.line))


def test_a_table_is_learnt_and_set_beside_its_baselines(bank: Bank) -> None:
    result, metric = bank.result, "accuracy"
    assert {"steps", "seconds", "tokens", "validation", "model", "baselines", "seeds", "standard_error"} <= set(result)
    assert result["validation"][metric] > 0.8 > result["baselines"]["majority"][metric] + 0.2
    assert set(result["baselines"]) == {"majority", "tfidf", "random_weights"}
    assert result["examples"]["validation"] == pytest.approx(8, abs=2)
    assert 0 <= result["standard_error"] < 0.2
    assert (bank.out / "report.html").is_file() and (bank.out / "metrics.jsonl").is_file()
    store.verify(bank.out / "model", "model")
    config = json.loads((bank.out / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert (bank.out / "model" / "README.md").read_text().startswith("---")


def test_its_head_is_counted(bank: Bank) -> None:
    parameters = ask("inspect", bank.out)["parameters"]
    assert parameters["parts"]["task_head"] > 0
    weights = load_file(bank.out / "model" / "model.safetensors")
    assert parameters["total"] == sum(tensor.numel() for tensor in weights.values())


def test_the_same_line_again_gives_the_same_result(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (bank.out / "model" / "model.safetensors").stat().st_mtime_ns
    assert ask(*bank.line) == bank.result
    assert "is finished" in capsys.readouterr().err
    assert (bank.out / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert cli.run([*map(str, bank.line), "--task.class-weights", "balanced"]) == 2
    assert "another task.class_weights ('none', now 'balanced')" in capsys.readouterr().err


def test_the_model_is_evaluated_and_asked(bank: Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ask("evaluate", "table", "--from", bank.out, "--data", bank.table)
    assert {"task", "examples", "skipped", "metrics"} <= set(found)
    assert (found["task"], found["examples"], found["skipped"]) == ("table", 80, {})
    assert found["metrics"]["accuracy"] > 0.8
    assert "seems to have been trained on" in capsys.readouterr().err
    assert ask("predict", "classify", "--from", bank.out, "the cat ran home")["label"] == "good"
    target = tmp_path / "out.jsonl"
    line = ["predict", "classify", "--from", bank.out, "--input", bank.table, "--text", "message", "--output", target]
    assert cli.run([*map(str, line)]) == 0
    given = [json.loads(row)["label"] for row in target.read_text().splitlines()]
    right = [example.label == label for example, label in zip(texts(80), given, strict=True)]
    assert sum(right) / 80 == pytest.approx(found["metrics"]["accuracy"])


def test_rows_without_text_keep_their_place(bank: Bank, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "the cat"}\n{"text": ""}\n{"text": "a dog"}\n')
    assert (
        cli.run(["predict", "classify", "--from", str(bank.out), "--input", str(source), "--output", str(target)]) == 0
    )
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert [set(row) for row in rows] == [{"label", "score"}, {"error"}, {"label", "score"}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "sst2", "--from", "{out}", "--data", "{table}"], "messages.csv"),
        (["evaluate", "stsb", "--from", "{out}", "--data", "{table}"], "messages.csv"),
        (["evaluate", "table", "--from", "{start}", "--data", "{table}"], "has no task head"),
        (["evaluate", "table", "--from", "{out}", "--data", "{table}", "--label", "number"], "'0'"),
        (["predict", "classify", "--from", "{start}", "a"], "no task head"),
        (["predict", "tag", "--from", "{out}", "a"], "its head is for classify"),
        (["finetune", "table", "--from", "{start}", "--data", "{table}", "--label", "knd", "--out", "x"], "mean kind?"),
    ],
)
def test_each_mistake_is_one_clear_line(
    bank: Bank, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.run([argument.format(**bank._asdict()) for argument in arguments]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and "Traceback" not in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("bertsmith: ")]) == 1


def test_more_seeds_go_on_from_what_is_there(bank: Bank, tmp_path: Path) -> None:
    line = ["finetune", "table", "--from", bank.start, "--data", bank.table, "--out", tmp_path / "o", *TINY]
    line += ["--label", "kind", "--baselines", "none"]
    first = ask(*line)
    before = (tmp_path / "o" / "runs" / "seed-0" / "result.json").stat().st_mtime_ns
    second = ask(*line, "--seeds", "2")
    assert [run["name"] for run in second["runs"]] == ["seed-0", "seed-1"]
    assert second["runs"][0] == first["runs"][0] and second["seeds"]["count"] == 2
    assert (tmp_path / "o" / "runs" / "seed-0" / "result.json").stat().st_mtime_ns == before
    assert second["baselines"] == {}
    values = [run["validation"]["accuracy"] for run in second["runs"]]
    assert second["seeds"]["mean"]["accuracy"] == pytest.approx(sum(values) / 2)


def test_a_student_learns_from_a_model_that_was_fine_tuned(
    bank: Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["finetune", "table", "--from", bank.start, "--teacher", bank.out, "--data", bank.table, "--label", "kind"]
    line += ["--out", tmp_path / "o", *TINY, "--grid", "distillation.temperature=1,4"]
    found = ask(*line)
    said = capsys.readouterr().err
    assert said.count(f"teacher: {bank.out / 'model'} (2 layers, 32 wide), temperature") == 2, (
        "random weights have none"
    )
    assert found["teacher"]["validation"] == bank.result["validation"]
    assert found["teacher"]["model"] == str(bank.out) and found["teacher"]["weight"] == 0.5
    assert f"temperature-{found['teacher']['temperature']:g},seed-0" == found["best"]
    assert set(found["baselines"]) == {"majority", "tfidf", "random_weights"}
    assert "\nteacher " in said and "its teacher" in (tmp_path / "o" / "model" / "README.md").read_text()
    assert "its teacher" in (tmp_path / "o" / "report.html").read_text()
    assert json.loads((tmp_path / "o" / "result.json").read_text())["teacher"] == found["teacher"]
    names = ("temperature-1,seed-0", "temperature-4,seed-0", "random-weights")
    runs = [tmp_path / "o" / "runs" / name for name in names]
    assert len({store.hash_file(run / "model" / "model.safetensors") for run in runs}) == 3
    assert ["[distillation]" in (run / "recipe.toml").read_text() for run in runs] == [True, True, False]
    assert ask(*line) == found
    other = [tmp_path / "o" if argument == bank.out else argument for argument in line]
    assert cli.run([*map(str, other)]) == 2
    assert "was started with another teacher;" in capsys.readouterr().err
    assert cli.run([*map(str, line), "--distillation.weight", "0.9"]) == 2
    assert "another distillation.weight (0.5, now 0.9)" in capsys.readouterr().err


def write_suite(folder: Path) -> Path:
    """SST-2 with an unlabelled test part, STS-B, and QNLI without a training part."""
    for name in ("SST-2", "STS-B", "QNLI"):
        (folder / name).mkdir(parents=True)
    rows = [f"{e.first}\t{int(e.label == 'good')}" for e in texts(40)]
    (folder / "SST-2" / "train.tsv").write_text("sentence\tlabel\n" + "\n".join(rows[:30]) + "\n")
    (folder / "SST-2" / "dev.tsv").write_text("sentence\tlabel\n" + "\n".join(rows[30:]) + "\n")
    (folder / "SST-2" / "test.tsv").write_text("index\tsentence\n0\tthe cat\n1\ta dog\n")
    pairs = [f"{i}\t{e.first}\t{e.second}\t{float(e.label or 0)}" for i, e in enumerate(scores(36))]
    for part, chosen in (("train", pairs[:24]), ("dev", pairs[24:])):
        (folder / "STS-B" / f"{part}.tsv").write_text("index\tsentence1\tsentence2\tscore\n" + "\n".join(chosen) + "\n")
    (folder / "QNLI" / "dev.tsv").write_text("index\tquestion\tsentence\tlabel\n0\ta\tb\tentailment\n")
    return folder


def test_a_suite_is_one_table_and_is_not_repeated(
    bank: Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_suite(tmp_path / "glue"), tmp_path / "out"
    line = ["finetune", "suite", "--from", bank.start, "--data", data, "--out", out, *TINY]
    found = ask(*line)
    assert [row["task"] for row in found["tasks"]] == ["sst2", "stsb"] and found["failed"] == {}
    assert found["average"] == pytest.approx(sum(row["value"] for row in found["tasks"]) / 2)
    assert set(found["averages"]) == {"majority", "random_weights", "tfidf"}
    assert "no training part of qnli" in capsys.readouterr().err
    submitted = (out / "sst2" / "submission" / "SST-2.tsv").read_text().splitlines()
    assert submitted[0] == "index\tprediction" and [row.split("\t")[0] for row in submitted[1:]] == ["0", "1"]
    assert "| average |" in (out / "table.md").read_text()
    (data / "SST-2" / "train.tsv").write_text("sentence\tlabel\n")  # one that fails takes no other with it
    again = ask(*line)
    assert list(again["failed"]) == ["sst2"] and again["tasks"] == found["tasks"][1:]
    assert capsys.readouterr().err.count("this fine-tuning is finished") == 1
    similar = ask("predict", "similarity", "--from", out / "stsb", "the cat", "a mat")
    assert set(similar) == {"score"}


def test_entities_and_answers(bank: Bank, tmp_path: Path) -> None:
    lines = [
        "\n".join(f"{word}\t{tag}" for word, tag in zip(example.words, example.tags or (), strict=True))
        for example in tagged_texts(30)
    ]
    (tmp_path / "train.tsv").write_text("\n\n".join(lines) + "\n")
    ask("finetune", "ner", "--from", bank.start, "--data", tmp_path / "train.tsv", "--out", tmp_path / "ner", *TINY)
    entities = ask("predict", "tag", "--from", tmp_path / "ner", "the cat ran over a hill")
    assert all(set(entity) == {"word", "label", "start", "end", "score"} for entity in entities)
    paragraphs = [
        {
            "context": f"the cat number {i} sat on a mat",
            "qas": [
                {"id": str(i), "question": "who sat ?", "answers": [{"text": "cat", "answer_start": 4}]},
                {"id": f"{i}x", "question": "why ?", "answers": [], "is_impossible": True},
            ],
        }
        for i in range(12)
    ]
    squad = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    line = ["--from", bank.start, "--data", tmp_path / "squad.json", "--out", tmp_path / "squad"]
    result = ask("finetune", "squad2", *line, *TINY)
    assert result["metric"] == "f1" and "best_f1" in result["validation"]
    context = "the cat sat on a mat"
    found = ask("predict", "answer", "--from", tmp_path / "squad", "--context", context, "who sat ?")
    assert set(found) == {"answer", "score", "start", "end"}
    assert found["answer"] == context[found["start"] : found["end"]]
