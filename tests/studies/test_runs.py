"""Studies carried out: every run once, whatever happens in between, and what the report says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bertsmith import cli, pipeline
from bertsmith.data.corpus import Corpus
from bertsmith.errors import BertsmithError, Diverged, UsageError
from bertsmith.store.locks import lock_file
from bertsmith.studies import runs
from bertsmith.studies.checks import check_design
from bertsmith.studies.design import Design, parse_corpora
from bertsmith.studies.rows import runs_of
from bertsmith.studies.scores import Questions, documents_of
from bertsmith.studies.study import load_study
from bertsmith.training import run as run_module
from tests.killing import Killed
from tests.tiny_studies import TINY, carry_out, write

Trained = list[str]


def losses(result: dict[str, Any]) -> dict[str, float]:
    return {run["name"]: run["scores"]["loss"] for run in result["runs"]}


def test_every_arm_is_trained_with_every_seed_once(corpus: Path, tmp_path: Path, trained: Trained) -> None:
    study, out = write(tmp_path), tmp_path / "out"
    result = carry_out(study, corpus, out)
    assert trained == ["two-seed0", "one-seed0", "two-seed1", "one-seed1"]
    assert (result["finished"], result["due"], result["failed"]) == (4, 0, {}) and result["matched"]["within"]
    assert [arm["steps"] for arm in result["arms"]] == [4, 4]
    (claim,) = result["claims"]
    wanted = {"name", "effect", "interval", "verdict", "smallest_visible_effect", "seed_deviation", "adjusted_p"}
    assert wanted <= set(claim) and claim["paper"] == "so they say" and claim["seeds"] == 2
    by_arm = {arm["name"]: arm["scores"]["loss"]["mean"] for arm in result["arms"]}
    assert claim["effect"] == pytest.approx(by_arm["one"] - by_arm["two"])
    for run in result["runs"]:
        assert Path(run["folder"], "model", "model.safetensors").is_file()
    again = carry_out(study, corpus, out)
    assert len(trained) == 4 and again == result
    assert pipeline.study_report(out) == result


def test_the_time_left_is_known_from_runs_of_before(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = write(tmp_path), tmp_path / "out"
    carry_out(study, corpus, out, seeds=1)
    first, second = (line for line in capsys.readouterr().err.splitlines() if line.startswith("run "))
    assert "left" not in first and "of work left" in second
    carry_out(study, corpus, out)
    third = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("run "))
    assert third.startswith("run 3 of 4: two-seed1") and "of work left" in third


def test_the_report_is_one_small_file_that_reads_chinese(corpus: Path, tmp_path: Path) -> None:
    result = carry_out(write(tmp_path), corpus, tmp_path / "out")
    page = Path(result["report"]).read_text("utf-8")
    assert len(page) < 5_000_000 and "http" not in page.replace("http://www.w3.org", "")
    for part in ("一层够吗", "一层", "More layers are better.", "so they say", result["runs"][0]["folder"], "<svg"):
        assert part in page, part
    told = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "| two | 2 | 4 |" in told and "More layers are better." in told
    shown = re.findall(r"!\[.*?\]\((.*?)\)", told)
    assert shown == ["figures/arms-loss.svg", "figures/effects-loss.svg"]
    drawn = [ElementTree.parse(tmp_path / "out" / name).getroot() for name in shown]
    circles = [root.findall(".//{http://www.w3.org/2000/svg}circle") for root in drawn]
    assert [len(found) for found in circles] == [4, 1]  # a dot for each run, one for each claim
    order = [page.index(part) for part in ("<h2>What could be seen", "<h2>Verdicts", "<h2>Every run")]
    assert order == sorted(order)  # what noise allows stands before the verdict


def test_a_killed_study_goes_on_to_the_same_figures(
    corpus: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(tmp_path)
    (tmp_path / "whole").mkdir()
    whole = losses(carry_out(study, corpus, tmp_path / "whole" / "out"))
    (tmp_path / "killed").mkdir()
    out, real, steps = tmp_path / "killed" / "out", run_module.Run._log, []

    def log(self: Any, step: Any) -> str:
        text = real(self, step)
        steps.append(step.number)
        if len(steps) in (3, 8):
            raise Killed
        return text

    trained.clear()
    monkeypatch.setattr(run_module.Run, "_log", log)
    for _ in range(2):
        with pytest.raises(Killed):
            carry_out(study, corpus, out)
    assert losses(carry_out(study, corpus, out)) == whole
    assert len(steps) < 4 * 4 + 2 * 2  # a run that was killed went on from its checkpoint
    assert len(trained) == 6 and set(trained) == {"two-seed0", "two-seed1", "one-seed0", "one-seed1"}


def test_a_run_that_another_process_holds_is_left_to_it(
    corpus: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = Design(load_study(write(tmp_path)), {"": corpus})
    questions = Questions(documents_of(Corpus.open(corpus, "validation")), design.length)
    folder = runs.StudyFolder(tmp_path / "out", design, questions)
    folder.begin({})
    held = design.run(design.study.arms[0], 0)
    lock = tmp_path / f".study-run-{held.mark}.lock"

    def nothing_left(_: float) -> None:
        raise Killed

    monkeypatch.setattr(runs.time, "sleep", nothing_left)
    with lock_file(lock, lock, remove=True), pytest.raises(Killed):
        runs.carry_out(folder, runs_of)
    assert trained == ["one-seed0", "two-seed1", "one-seed1"]
    runs.carry_out(folder, runs_of)
    assert trained[3:] == ["two-seed0"]


def test_a_run_of_a_study_beside_is_not_repeated(
    corpus: Path, tmp_path: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(write(tmp_path), corpus, tmp_path / "first")
    other = TINY.replace('name = "one"', 'name = "wide"').replace("model.layers = 1", "model.hidden_size = 64")
    other = (
        other.replace('name = "two"', 'name = "base"')
        .replace('"two"', '"base"')
        .replace('worse = "one"', 'worse = "wide"')
    )
    trained.clear()
    result = carry_out(write(tmp_path, other, "other"), corpus, tmp_path / "second")
    assert trained == ["wide-seed0", "wide-seed1"]
    assert "base-seed0" in capsys.readouterr().err
    assert {run["arm"]: Path(run["folder"]).parents[1].name for run in result["runs"]} == {
        "base": "first",
        "wide": "second",
    }


def test_more_seeds_are_added_and_another_study_is_refused(corpus: Path, tmp_path: Path, trained: Trained) -> None:
    study, out = write(tmp_path), tmp_path / "out"
    carry_out(study, corpus, out)
    trained.clear()
    assert carry_out(study, corpus, out, seeds=3)["finished"] == 6
    assert trained == ["two-seed2", "one-seed2"]
    with pytest.raises(UsageError, match=r"was begun with another budget.steps \(4, now 5\)"):
        carry_out(study, corpus, out, flags={"budget.steps": "5"})
    with pytest.raises(UsageError, match="is not empty and holds no study"):
        carry_out(study, corpus, tmp_path)
    (out / "study.json").write_text("{", "utf-8")
    with pytest.raises(BertsmithError, match="damaged; remove it"):
        pipeline.study_report(out)
    (out / "study.json").unlink()
    (out / ".study.json.partial-1").touch()  # what a kill leaves
    trained.clear()
    assert carry_out(study, corpus, out, seeds=3)["finished"] == 6 and not trained
    with pytest.raises(UsageError, match="holds no study"):
        pipeline.study_report(tmp_path / "nowhere")


def test_the_best_rate_is_taken_and_the_untuned_row_kept(corpus: Path, tmp_path: Path, trained: Trained) -> None:
    tuned = TINY.replace('note = "一层"', "rates = [1e-9, 3e-3]")
    flags = {"budget.steps": 20, "training.save_every": 50, "training.validate_every": 50}
    result = carry_out(write(tmp_path, tuned), corpus, tmp_path / "out", flags=flags)
    assert trained.count("one-1e-09-seed0") == 1 and trained.count("one-1e-09-seed1") == 0
    assert trained.count("one-0.003-seed0") == trained.count("one-0.003-seed1") == 1
    assert [arm["name"] for arm in result["arms"]] == ["two", "one", "one, untuned"]
    assert "rate 0.003, the best of 1e-09, 0.003" in result["arms"][1]["note"]


def test_a_student_shares_its_budget_with_its_teacher(corpus: Path, tmp_path: Path, trained: Trained) -> None:
    taught = TINY.replace(
        'name = "one"', 'name = "one"\nrecipe = "distilbert-tiny"\nteacher = "two"\nteacher_share = 0.5'
    )
    result = carry_out(write(tmp_path, taught), corpus, tmp_path / "out")
    assert trained == ["two-seed0", "two-50-seed0", "one-seed0", "two-seed1", "two-50-seed1", "one-seed1"]
    assert [arm["steps"] for arm in result["arms"]] == [4, 2]
    both = {arm["name"]: arm["tokens"] for arm in result["arms"]}
    assert both["one"] == pytest.approx(both["two"], rel=0.3)  # the teacher's two steps among them
    shown = {run["name"].rsplit("-", 1)[0]: run for run in result["runs"]}
    teacher, student = shown["two-50-seed0"], shown["one-seed0"]
    assert teacher["arm"] == "two, teacher of one" and Path(teacher["folder"], "model").is_dir()
    own = json.loads((Path(student["folder"]) / "result.json").read_text())["tokens"]
    assert student["tokens"] == own + teacher["tokens"]


@pytest.mark.parametrize("unit", ["tokens", "operations"])
def test_budgets_are_matched_over_arms(unit: str, corpus: Path, tmp_path: Path) -> None:
    packed = TINY.replace("model.layers = 1", 'cut.name = "full_sentences", objectives.use = ["masked_lm"]')
    amount = {"tokens": 100_000, "operations": 2e10}[unit]
    design = Design(load_study(write(tmp_path, packed), {f"budget.{unit}": amount}), {"": corpus})
    one, other = (design.run(arm, 0) for arm in design.study.arms)
    assert one.flags["training.steps"] != other.flags["training.steps"]
    for run, arm in zip((one, other), design.study.arms, strict=True):
        assert abs(run.flags["training.steps"] * design._cost_of_step(arm) / amount - 1) <= 0.02
    small = Design(load_study(write(tmp_path, packed), {f"budget.{unit}": amount // 200}), {"": corpus})
    with pytest.raises(UsageError, match="cannot be met within 2%"):
        check_design(small)


def test_a_folder_may_have_the_sign_of_a_name_in_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "size=8000"
    folder.mkdir()
    assert parse_corpora([str(folder)]) == parse_corpora([f"={folder}"]) == {"": folder}  # as typed, and as kept
    assert parse_corpora([f"bytes={folder}"]) == {"bytes": folder}


def test_corpora_by_name(corpus: Path, tmp_path: Path) -> None:
    own = TINY.replace('note = "一层"', 'corpus = "other"')
    with pytest.raises(UsageError, match=r"arm one: wants its own --corpus other=FOLDER"):
        carry_out(write(tmp_path, own), corpus, tmp_path / "out")
    with pytest.raises(UsageError, match="two corpora without a name"):
        pipeline.study_run(write(tmp_path), [str(corpus), str(corpus)], tmp_path / "out")
    with pytest.raises(UsageError, match="--corpus: is missing"):
        pipeline.study_run(write(tmp_path), [], tmp_path / "out")
    found = pipeline.study_run(write(tmp_path, own), [f"other={corpus}", str(corpus)], tmp_path / "out")
    assert found["finished"] == 4


def test_the_command_line(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, out = str(write(tmp_path)), str(tmp_path / "out")
    line = ["study", "run", study, "--corpus", str(corpus)]
    assert cli.run([*line, "--dry-run", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs["runs"] == 4 and [arm["steps"] for arm in costs["arms"]] == [4, 4] and costs["seconds"] > 0
    assert not (tmp_path / "out").exists()
    assert cli.run(line) == 2
    assert "--out is missing" in capsys.readouterr().err
    assert cli.run([*line, "--out", out, "--task", "sst2"]) == 2
    assert "wants NAME=DATA" in capsys.readouterr().err
    assert cli.run([*line, "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "Standard deviation of a run" in shown and shown.index("Standard deviation of a run") < shown.index(
        "More layers are better."
    )
    assert cli.run(["study", "report", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == 4
    assert cli.run([*line, "--out", out, "--seeds", "3", "--dry-run"]) == 0
    assert "6, 4 finished" in capsys.readouterr().out
    assert cli.run(["study", "list"]) == 0 and cli.run(["study", "show", "sharing"]) == 0
    assert "ALBERT, average 81.6 against 80.1" in capsys.readouterr().out


@pytest.mark.slow
def test_tasks_and_minimal_pairs_are_asked_too(corpus: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("\n".join(json.dumps({"sentence_good": f"abc {n}", "sentence_bad": f"cab {n}"}) for n in range(9)))
    data = tmp_path / "SST-2"
    data.mkdir()
    for part, count in (("train", 24), ("dev", 12)):
        rows = [f"{'abc' if n % 2 else 'cab'} {n}\t{n % 2}" for n in range(count)]
        (data / f"{part}.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    result = carry_out(write(tmp_path), corpus, tmp_path / "out", pairs=[str(pairs)], tasks={"sst2": data}, seeds=1)
    scores = result["arms"][0]["scores"]
    assert 0 <= scores["minimal_pairs"]["mean"] <= 1 and 0 <= scores["task sst2"]["mean"] <= 1
    assert (
        result["claims"][0]["verdict"] == "undetermined" and "says nothing of noise" in result["claims"][0]["sentence"]
    )


def test_a_run_that_diverges_is_told_and_the_others_go_on(
    corpus: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runs.pretrain

    def pretrain(recipe: Any, corpus: Any, out: Path, **options: Any) -> Any:
        if out.name.startswith("one-seed0"):
            trained.append("diverged")
            raise Diverged("step 3: the masked_lm loss is nan")
        return real(recipe, corpus, out, **options)

    monkeypatch.setattr(runs, "pretrain", pretrain)
    study, out = write(tmp_path), tmp_path / "out"
    result = carry_out(study, corpus, out)
    assert result["finished"] == 4 and list(result["failed"].values()) == ["step 3: the masked_lm loss is nan"]
    assert [arm["runs"] for arm in result["arms"]] == [2, 1] and len(result["runs"]) == 3
    (claim,) = result["claims"]
    assert claim["sentence"] == (
        "Undetermined: one seed says nothing of noise. 1 of 2 seeds of one diverged and left nothing to compare."
    )
    assert "step 3" in Path(result["report"]).read_text("utf-8")
    carry_out(study, corpus, out)
    assert trained.count("diverged") == 1
    (more,) = carry_out(study, corpus, out, seeds=3)["claims"]
    assert more["seeds"] == 2 and "so far" not in more["sentence"]
    assert more["sentence"].endswith(" 1 of 3 seeds of one diverged and left nothing to compare.")


def test_no_rate_is_the_best_where_all_diverge(
    corpus: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runs.pretrain

    def pretrain(recipe: Any, corpus: Any, out: Path, **options: Any) -> Any:
        if out.name.startswith(("one-1", "one-2")):
            trained.append(out.name[:5])
            raise Diverged("step 1: the masked_lm loss is nan")
        return real(recipe, corpus, out, **options)

    monkeypatch.setattr(runs, "pretrain", pretrain)
    tuned = write(tmp_path, TINY.replace('note = "一层"', "rates = [1e9, 2e9]"))
    result = carry_out(tuned, corpus, tmp_path / "out")
    assert sorted(name for name in trained if name in ("one-1", "one-2")) == ["one-1", "one-2"]
    one = result["arms"][1]
    assert (one["name"], one["runs"], one["note"]) == ("one", 0, "every rate that was tried diverged")
    assert [(arm["name"], arm["runs"]) for arm in result["arms"][2:]] == [("one, untuned", 2)]
    assert result["claims"][0]["sentence"].startswith("Undetermined: no seed has both. 1 of 1 seeds of one diverged")


def test_a_report_leaves_out_answers_to_other_questions(corpus: Path, tmp_path: Path) -> None:
    study, out = write(tmp_path), tmp_path / "out"
    lines = corpus.with_suffix(".txt").read_text("utf-8").split("\n\n")
    texts = [tmp_path / "first.txt", tmp_path / "second.txt"]
    for place, text in enumerate(texts):
        text.write_text("\n\n".join(lines[20 * place : 20 * (place + 1)]), "utf-8")
    carry_out(study, corpus, out, valid=[str(texts[0])])
    (out / "study.json").unlink()
    design = Design(load_study(study), {"": corpus})
    questions = Questions(documents_of(Corpus.open(corpus, "validation")), design.length)
    runs.StudyFolder(out, design, questions).begin(
        {"name": str(study), "corpora": [f"={corpus}"], "seeds": 2, "flags": {}}
    )
    result = pipeline.study_report(out)
    assert result["finished"] == 0 and result["due"] == 4


def test_texts_of_several_lines_stay_in_their_cells(corpus: Path, tmp_path: Path) -> None:
    broken = TINY.replace('note = "一层"', 'note = """a layer\n| and\nno more"""')
    result = carry_out(write(tmp_path, broken), corpus, tmp_path / "out", seeds=1)
    assert result["arms"][1]["note"] == "a layer | and no more"
    assert "a layer \\| and no more |\n" in (tmp_path / "out" / "report.md").read_text("utf-8")


def test_a_claim_that_cannot_be_judged_says_so(corpus: Path, tmp_path: Path) -> None:
    text = TINY.replace("model.layers = 1", 'objectives.use = ["masked_lm"]')
    text = text.replace('text = "More layers are better."', 'metric = "next_sentence"')
    (claim,) = carry_out(write(tmp_path, text), corpus, tmp_path / "out", seeds=1)["claims"]
    assert claim["sentence"] == "Undetermined: one cannot be asked for next sentence right." and claim["effect"] is None
