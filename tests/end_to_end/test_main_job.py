"""The main job, end to end: a model that others can load, better than frequencies, and all that is said of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bertsmith import cli, store
from tests.main_job import SHRUNK, VERBS, MainJob, ask, main_job

__all__ = ["main_job"]


def test_prepare_says_what_it_made(main_job: MainJob) -> None:
    prepared = main_job.prepared
    assert {"documents", "sentences", "tokens", "bytes", "seconds", "unk_rate", "skipped"} <= set(prepared)
    assert prepared["documents"] == 300 and prepared["unk_rate"] == 0 and prepared["skipped"] == {}


def test_pretraining_learns_and_leaves_a_whole_run(main_job: MainJob) -> None:
    trained, run = main_job.trained, main_job.run
    assert {"steps", "seconds", "tokens", "validation", "model"} <= set(trained)
    assert trained["steps"] == 150 and Path(trained["model"]) == run / "model"
    validation = trained["validation"]
    assert validation["masked_lm_loss"] < validation["unigram_loss"] - 0.5
    for name in ("recipe.toml", "environment.json", "metrics.jsonl", "tensorboard", "checkpoints", "report.html"):
        assert (run / name).exists()
    store.verify(run / "model", "model")
    assert {path.name for path in (run / "model").iterdir()} == {
        *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"),
        *("README.md", store.MANIFEST),
    }


def test_the_same_lines_again_give_the_same_results(main_job: MainJob) -> None:
    weights = store.hash_file(main_job.run / "model" / "model.safetensors")
    prepared = ask("prepare", "bert-tiny", "--text", main_job.text, "--out", main_job.corpus, *SHRUNK)
    assert {**prepared, "seconds": 0} == {**main_job.prepared, "seconds": 0}
    assert ask("pretrain", "bert-tiny", "--corpus", main_job.corpus, "--out", main_job.run, *SHRUNK) == main_job.trained
    assert store.hash_file(main_job.run / "model" / "model.safetensors") == weights


def test_evaluation_beats_frequencies_on_text_it_has_not_seen(main_job: MainJob) -> None:
    result = ask("evaluate", "mlm", "--from", main_job.run, "--data", main_job.held_out)
    keys = {"loss", "unigram_loss", "perplexity", "accuracy", "bits_per_character", "masked", "tokens"}
    keys |= {"word_loss", "word_accuracy"}
    assert set(result) == keys
    assert result["loss"] < result["unigram_loss"] - 0.5
    assert ask("evaluate", "mlm", "--from", main_job.run / "model", "--data", main_job.held_out) == result
    assert ask("evaluate", "mlm", "--from", main_job.run, "--data", main_job.held_out, "--seed", "1") != result


def test_pairs_are_judged_beside_a_constant_answer(main_job: MainJob) -> None:
    result = ask("evaluate", "pairs", "--from", main_job.run, "--data", main_job.held_out)
    assert set(result) == {"accuracy", "constant_accuracy", "loss", "pairs"} and result["pairs"] > 50
    assert 0.5 <= result["constant_accuracy"] < 1 and 0 < result["accuracy"] <= 1


def test_masks_are_filled_by_what_the_language_allows(main_job: MainJob) -> None:
    [candidates] = ask("predict", "fill-mask", "--from", main_job.run, "my sister reads [MASK] at home .")
    assert set(candidates[0]) == {"token", "token_id", "score", "text"}
    assert len(candidates) == 5
    objects = {thing for things in VERBS.values() for thing in things}
    assert {candidate["token"] for candidate in candidates} <= objects  # so soon it knows where objects stand
    assert candidates[0]["text"] == f"my sister reads {candidates[0]['token']} at home ."
    several = ask(
        "predict", "fill-mask", "--from", main_job.run, "a [MASK] sees [MASK] .", "the [MASK]", "--top-k", "2"
    )
    assert [[len(mask) for mask in text] for text in several] == [[2, 2], [2]]


def test_next_sentences_get_a_probability(main_job: MainJob) -> None:
    result = ask("predict", "next-sentence", "--from", main_job.run, "the cat eats fish .", "the cat sees stars .")
    assert set(result) == {"is_next"} and 0 < result["is_next"] < 1


def test_everything_can_be_inspected(main_job: MainJob) -> None:
    corpus = ask("inspect", main_job.corpus)
    assert (corpus["documents"], corpus["tokens"]) == (300, main_job.prepared["tokens"])
    assert corpus["masking"]["mask"] == pytest.approx(0.8, abs=0.05)
    of_model, of_recipe = ask("inspect", main_job.run), ask("inspect", "bert-base")
    assert of_recipe["parameters"]["total"] == 110_106_428
    assert of_model["parameters"]["total"] == sum(of_model["parameters"]["parts"].values()) < 500_000


def test_results_are_readable_without_json(main_job: MainJob, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(main_job.run)
    assert cli.run(["predict", "fill-mask", "--from", run, "the cat eats [MASK] ."]) == 0
    assert cli.run(["inspect", str(main_job.corpus)]) == 0
    assert cli.run(["inspect", run]) == 0
    printed = capsys.readouterr().out
    assert "the cat eats" in printed and "real lines" in printed and "feed forward" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "mlm", "--from", "nowhere", "--data", "{held_out}"], 2, "nowhere"),
        (["evaluate", "mlm", "--from", "{run}", "--data", "nowhere.txt"], 2, "nowhere.txt"),
        (["evaluate", "mlm", "--from", "{corpus}", "--data", "{held_out}"], 2, "holds no model"),
        (["predict", "fill-mask", "--from", "{run}", "no mask"], 2, "has no [MASK]"),
        (["predict", "fill-mask", "--from", "{run}", ""], 2, "is empty"),
        (["predict", "next-sentence", "--from", "{run}", "one"], 2, "pairs"),
        (["inspect", "nowhere"], 2, "nowhere"),
    ],
)
def test_each_mistake_is_one_clear_line(
    main_job: MainJob, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert cli.run([argument.format(**main_job._asdict()) for argument in arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1 and message in said.err and "Traceback" not in said.err


def test_the_module_runs_as_a_program(main_job: MainJob) -> None:
    command = [sys.executable, "-m", "bertsmith", "predict", "fill-mask", "--from", str(main_job.run)]
    done = subprocess.run([*command, "the [MASK]", "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.startswith("[[{") and done.stderr == ""
