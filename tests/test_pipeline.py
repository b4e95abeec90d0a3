"""The whole way through the functions a user calls, on a text made here."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import bertsmith
from bertsmith import cli, pipeline
from bertsmith.errors import BertsmithError, UsageError

SUBJECTS = ("the cat", "a dog", "his sister", "the old king", "my teacher", "one sailor")
VERBS = ("sees", "follows", "remembers", "paints", "sells")
OBJECTS = ("a red house", "the river", "three apples", "the letter", "a small boat", "nothing")

# Any recipe in a second: everything that decides its kind stays, only its sizes shrink.
SHRUNK: dict[str, Any] = {
    "model.hidden_size": 32,
    "model.layers": 2,
    "model.heads": 2,
    "model.max_positions": 64,
    "cut.length": 32,
    "long_phase.length": 48,
    "training.steps": 2,
    "training.batch_size": 4,
    "training.warmup": 0.0,
    "training.precision": "fp32",
    "training.compile": "off",
    "training.threads": 1,
}


def sentence(generator: random.Random) -> str:
    return f"{generator.choice(SUBJECTS)} {generator.choice(VERBS)} {generator.choice(OBJECTS)}.".capitalize()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = random.Random(0)
    documents = ["\n".join(sentence(generator) for _ in range(12)) for _ in range(60)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(documents) + "\n")
    return path


@pytest.fixture(scope="module")
def corpus(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "corpus"
    summary = pipeline.prepare("bert-tiny", [str(text)], out, workers=1, flags={"text.validation_share": 0.2})
    assert summary["documents"] == 60
    assert summary["sentences"] == 720
    assert summary["unk_rate"] == 0
    assert summary["skipped"] == {}
    return out


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    result = pipeline.pretrain("bert-tiny", corpus, out, flags=SHRUNK)
    assert result["steps"] == 2
    assert result["tokens"] > 0
    assert result["model"] == str(out / "model")
    return out


def test_the_same_line_again_gives_the_same_result(corpus: Path, text: Path, run: Path) -> None:
    again = pipeline.pretrain("bert-tiny", corpus, run, flags=SHRUNK)
    assert again == pipeline.pretrain("bert-tiny", corpus, run, flags=SHRUNK)
    summary = pipeline.prepare("bert-tiny", [str(text)], corpus, workers=1, flags={"text.validation_share": 0.2})
    assert summary["sentences"] == 720


def test_another_line_on_the_same_run_names_the_field(corpus: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="learning_rate"):
        pipeline.pretrain("bert-tiny", corpus, run, flags={**SHRUNK, "training.learning_rate": 1.0})
    with pytest.raises(UsageError, match="seed"):
        pipeline.pretrain("bert-tiny", corpus, run, flags={**SHRUNK, "seed": 9})


def test_a_damaged_corpus_is_never_trained_on(corpus: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "corpus"
    shutil.copytree(corpus, damaged)
    part = min(damaged.glob("train*.arrow"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    for use in (
        lambda: pipeline.pretrain("bert-tiny", damaged, tmp_path / "run", flags=SHRUNK),
        lambda: inspect(damaged),
    ):
        with pytest.raises(BertsmithError, match=f"{part.name}: damaged"):
            use()
    assert not (tmp_path / "run").exists()


def inspect(path: Path) -> dict[str, Any]:
    return pipeline.inspect(str(path))


def test_a_missing_corpus_leaves_no_run_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        pipeline.pretrain("bert-tiny", tmp_path / "none", tmp_path / "run", flags=SHRUNK)
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_evaluation_reads_text_files(run: Path, text: Path) -> None:
    found = pipeline.evaluate_mlm(run, [str(text)])
    assert set(found) >= {"loss", "unigram_loss", "perplexity", "accuracy", "bits_per_character", "masked", "tokens"}
    assert found["loss"] > found["unigram_loss"] > 0, "two steps teach nothing"
    judged = pipeline.evaluate_pairs(run, [str(text)])
    assert judged["pairs"] > 0
    assert 0 <= judged["accuracy"] <= 1


def test_evaluation_reads_the_field_it_is_told(run: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"body": "The cat sees the river. " * 20}) for _ in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    found = pipeline.evaluate_mlm(run, [str(tmp_path / "rows.jsonl")], flags={"text.field": "body"})
    assert found["masked"] > 0
    with pytest.raises(UsageError, match="unknown flag"):
        pipeline.evaluate_mlm(run, [str(tmp_path / "rows.jsonl")], flags={"training.steps": 3})


def test_prediction(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["predict", "fill-mask", "--from", str(run), "The cat sees the [MASK].", "--top-k", "3"]
    assert cli.run([*line, "--json"]) == 0
    [candidates] = json.loads(capsys.readouterr().out)
    assert len(candidates) == 3
    assert set(candidates[0]) == {"token", "token_id", "score", "text"}
    assert cli.run(line) == 0
    assert candidates[0]["token"] in capsys.readouterr().out
    assert cli.run(["predict", "next-sentence", "--from", str(run / "model"), "The cat.", "The dog."]) == 0
    assert "%" in capsys.readouterr().out


def test_inspection(run: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pipeline.inspect(str(run)) == pipeline.inspect(str(run / "model"))
    of_recipe = pipeline.inspect(str(run / "recipe.toml"))
    assert pipeline.inspect(str(run)) == of_recipe
    found = pipeline.inspect(str(corpus), recipe="bert-tiny", flags={"masking.mask_share": 1.0, **NO_OTHERS})
    assert found["sentences"] == 720
    assert found["masking"]["mask"] == 1.0
    for subject in (run, corpus):
        assert cli.run(["inspect", str(subject)]) == 0
        assert capsys.readouterr().out.strip()


NO_OTHERS = {"masking.random_share": 0.0, "masking.keep_share": 0.0}


def test_a_checkpoint_stands_for_its_model(run: Path) -> None:
    checkpoint = max((run / "checkpoints").iterdir())
    assert pipeline.fill_mask(checkpoint, ["The [MASK]."]) == pipeline.fill_mask(run, ["The [MASK]."])


@pytest.mark.parametrize("name", bertsmith.__all__)
def test_the_python_api_is_there(name: str) -> None:
    assert callable(getattr(bertsmith, name))


def test_the_python_api_is_no_more_than_that() -> None:
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        bertsmith.train  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
