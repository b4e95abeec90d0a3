"""The command line: exit codes, one line per mistake, results alone on stdout."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertsmith import console, errors, pipeline
from bertsmith.cli import run

VERBS = [
    "prepare",
    "pretrain",
    "finetune",
    "finetune suite",
    "evaluate",
    "evaluate mlm",
    "evaluate pairs",
    "evaluate minimal-pairs",
    "predict fill-mask",
    "predict next-sentence",
    "predict classify",
    "predict tag",
    "predict answer",
    "predict similarity",
    "predict embed",
    "compare",
    "inspect",
    "plan",
    "recipes",
    "doctor",
    "demo",
]


class Called(Exception):
    """What a verb handed to the pipeline."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Replaces the steps of the pipeline that would do work by ones that note what they are given."""
    noted: list[tuple[Any, ...]] = []

    def noting(name: str, result: Any) -> None:
        def step(*arguments: Any, **options: Any) -> Any:
            noted.append((name, arguments, options))
            return result

        monkeypatch.setattr(pipeline, name, step)

    noting("prepare", {"documents": 1, "skipped": {"empty": 2}})
    noting("pretrain", {"steps": 3, "validation": {"loss": 1.5}})
    noting("finetune", {"steps": 3, "validation": {"accuracy": 0.5}})
    noting("finetune_suite", {"average": 50.0})
    noting("evaluate_task", {"task": "sst2", "metrics": {"accuracy": 0.5}})
    noting("classify", [{"label": "good", "score": 0.75}])
    noting("tag", [[{"word": "a", "label": "X", "start": 0, "end": 1, "score": 0.5}]])
    noting("answer", [{"answer": "2026", "score": 0.5, "start": 3, "end": 7}])
    noting("similarity", [{"score": 0.5}])
    noting("embed", [{"embedding": [0.5, -0.25]}])
    noting("predict_file", {"rows": 2, "errors": 1})
    noting("predict_rows", iter([{"label": "good", "score": 0.75}, {"error": "empty"}]))
    noting("evaluate_mlm", {"loss": 1.5})
    noting("evaluate_pairs", {"accuracy": 0.5})
    noting("evaluate_minimal_pairs", {"accuracy": 0.5})
    noting("compare", {"models": []})
    noting("plan", {"recipes": []})
    noting("fill_mask", [[[{"token": "我", "token_id": 5, "score": 0.5, "text": "我"}]]])
    noting("next_sentence", [{"is_next": 0.25}])
    return noted


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_and_the_common_flags(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    example = re.search(r"Example: (bertsmith .*)", text)
    assert example
    assert example.group(1).startswith(f"bertsmith {verb}")
    assert "--json" in text
    assert "--seed" in text


@pytest.mark.parametrize("verb", VERBS)
def test_examples_of_the_help_parse(
    verb: str, capsys: pytest.CaptureFixture[str], calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertsmith import doctor

    monkeypatch.setattr(doctor, "examine", lambda *a: {"machine": {}, "gigaflops": {}})
    monkeypatch.setattr(doctor, "render", str)
    monkeypatch.setattr(pipeline, "demo", lambda *a, **o: {})
    run([*verb.split(), "--help"])
    found = re.search(r"Example: (bertsmith .*?)\s*\n\s*\n", capsys.readouterr().out, re.DOTALL)
    assert found
    line = shlex.split(found.group(1).replace("\n", " "))[1:]  # a narrow terminal divides it
    assert run([*line, *([] if "--json" in line else ["--json"])]) == 0
    json.loads(capsys.readouterr().out)


def test_without_arguments_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "bertsmith demo" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from bertsmith import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prepar", 'unknown command "prepar". Did you mean "prepare"'),
        ("evaluate", None),
        ("evaluate mln", "mln: there is no such task; did you mean mlm?"),
        ("prepare", "argument"),
        ("prepare bert-mini --out x", "--text requires an argument"),
        ("pretrain bert-mini --corpu x --out y", "--corpus"),
        ("pretrain bert-mini --corpus x --out y --frobnicate", "--frobnicate"),
        ("pretrain bert-mini --corpus x --out y --training.steps", "--training.steps: wants a value"),
        ("pretrain bert-mini --corpus x --out y --training.steps --json", "--training.steps: wants a value"),
        ("pretrain bert-mini --corpus x --out y --training.steps 5.5", "wants a whole number, not 5.5"),
        ("pretrain bert-mini --corpus x --out y --training.stpes 5", "did you mean --training.steps?"),
        ("pretrain bert-mni --corpus x --out y", "did you mean bert-mini?"),
        ("pretrain bert-mini --corpus x --out y --model.heads 3", "does not divide"),
        ("pretrain bert-mini --corpus x --out y --seed -1", "--seed: must be greater than or equal to 0"),
        ("inspect bert-mini --seed x", "--seed"),
        ("inspect bert-mini --recipe bert-base", "--recipe: bert-mini is no corpus"),
        ("inspect no/such/thing", "no/such/thing: no such recipe"),
        ("doctor --training.steps 3", "doctor takes no fields of a recipe"),
        ("doctor --seconds 0", "--seconds: must be above 0"),
        ("predict fill-mask --from x", "give texts or --input FILE"),
        ("predict fill-mask --from x text --input file", "give texts or --input FILE"),
        ("predict fill-mask --from no/model a[MASK]", "no/model: there is no such folder"),
        ("predict next-sentence --from x one", "wants texts in pairs, not 1"),
        ("evaluate mlm --from x --data y --training.steps 3", "--training.steps: unknown flag"),
        ("evaluate pairs --from x --data y --cut nonsense", "--cut"),
        ("plan", "plan wants at least one recipe"),
        ("plan bert-mni", "did you mean bert-mini?"),
        ("plan bert-mini --corpus no/such", "no/such"),
        ("compare", "compare wants at least one model"),
        ("compare a a/", "a: is given twice"),
        ("compare a --data no/such.txt", "no/such.txt: there is no such file"),
        ("compare no/model", "no/model: there is no such folder"),
        ("compare a b --task sst2", "compare: --task and --task-data go together; --task-data is missing"),
        ("compare a b --task-data no/such", "compare: --task and --task-data go together; --task is missing"),
        ("compare a b --task ss2 --task-data x", "ss2: there is no such task; did you mean sst2?"),
        ("compare a --training.steps 3", "--training.steps: unknown flag"),
        ("evaluate minimal-pairs --from x --data no/such.jsonl", "no/such.jsonl: there is no such file"),
        ("evaluate minimal-pairs --from x --data y --text.field z", "takes no fields of a recipe"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(line: str, message: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    if message is None:
        assert run(line.split()) == 0  # a verb that has verbs shows them
        return
    assert run(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("bertsmith: ")


def test_several_mistakes_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "bert-mini", "--model.layers", "x", "--model.headz=3"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("bertsmith: --model.") for line in lines)


def test_fields_of_the_recipe_are_flags(calls: list[Any]) -> None:
    line = "pretrain bert-mini --training.steps 300 --corpus c --training.save-every=10 --out o --seed 5 --json"
    assert run(line.split()) == 0
    name, arguments, options = calls[-1]
    assert (name, arguments) == ("pretrain", ("bert-mini", ["c"], Path("o"), None))
    assert options == {"flags": {"training.steps": "300", "training.save-every": "10", "seed": "5"}, "teacher": None}


def test_a_teacher_reaches_the_pipeline(calls: list[Any]) -> None:
    assert (
        run("pretrain distilbert-mini --corpus c --out o --teacher run --objectives.distillation.cosine 0".split()) == 0
    )
    assert calls[-1][2] == {"flags": {"objectives.distillation.cosine": "0"}, "teacher": Path("run")}


def test_flags_of_one_line_do_not_reach_the_next(calls: list[Any]) -> None:
    run("pretrain bert-mini --corpus c --out o --training.steps 3".split())
    run("pretrain bert-mini --corpus c --out o".split())
    assert calls[-1][2] == {"flags": {}, "teacher": None}


def test_text_takes_many_paths(calls: list[Any]) -> None:
    assert run("prepare bert-mini --text a b/ c*.txt --out o --tokenizer t --workers 2".split()) == 0
    name, arguments, options = calls[-1]
    assert arguments == ("bert-mini", ["a", "b/", "c*.txt"], Path("o"))
    assert (options["tokenizer"], options["workers"]) == ("t", 2)


def test_json_is_alone_on_stdout(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare bert-mini --text a --out o --json".split()) == 0
    assert json.loads(capsys.readouterr().out) == {"documents": 1, "skipped": {"empty": 2}}
    assert run("prepare bert-mini --text a --out o".split()) == 0
    assert capsys.readouterr().out == "documents       1\nskipped: empty  2\n"


def test_one_text_gives_a_result_and_several_a_list(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(["predict", "fill-mask", "--from", "m", "[MASK]", "--json"])
    assert json.loads(capsys.readouterr().out)[0][0]["token"] == "我"
    run(["predict", "next-sentence", "--from", "m", "a", "b", "--json"])
    assert json.loads(capsys.readouterr().out) == {"is_next": 0.25}
    run(["predict", "next-sentence", "--from", "m", "a", "b", "c", "d", "--json"])
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert calls[-1][1] == ("m", [("a", "b"), ("c", "d")])


def test_a_text_may_begin_with_dashes(calls: list[Any]) -> None:
    assert run(["predict", "fill-mask", "--from", "m", "--", "--a.b [MASK]"]) == 0
    assert calls[-1][1] == ("m", ["--a.b [MASK]"])


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.BertsmithError("it broke"), 1, "it broke"),
        (errors.UsageError("wrong"), 2, "wrong"),
        (errors.Stopped("stopped; step 3 is saved"), 75, "stopped; step 3 is saved"),
        (errors.Interrupted("interrupted"), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "out/file"), 1, "out/file: No space left on device; free some space"),
        (ValueError("two\nlines"), 1, "unexpected ValueError: two lines"),
        (MemoryError(), 1, "unexpected MemoryError"),
    ],
)
def test_every_end_has_its_code_and_its_line(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "pretrain", fail)
    assert run("pretrain bert-mini --corpus c --out o".split()) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"bertsmith: {message}")
    assert printed.err.count("\n") == 1


def test_other_ranks_print_no_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], calls: list[Any]
) -> None:
    monkeypatch.setattr(console, "_quiet", True)
    assert run("pretrain bert-mini --corpus c --out o --json".split()) == 0
    assert capsys.readouterr().out == ""


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "--json"]) == 0
    names = [recipe["name"] for recipe in json.loads(capsys.readouterr().out)]
    assert names.index("bert-tiny") < names.index("bert-mini") < names.index("bert-base")
    assert run(["recipes"]) == 0
    assert "5,000 steps" in capsys.readouterr().out
    assert run(["recipes", "bert-mini", "--training.minutes", "4", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    values = {row["key"]: row["value"] for row in shown["fields"]}
    assert (values["training.minutes"], values["training.steps"], values["model.layers"]) == (4.0, 0, 4)


def test_inspect_counts_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "bert-base", "--json"]) == 0
    parameters = json.loads(capsys.readouterr().out)["parameters"]
    assert (parameters["encoder"], parameters["total"]) == (109_482_240, 110_106_428)
    assert sum(parameters["parts"].values()) == parameters["total"]
    assert run(["inspect", "bert-base", "--model.vocab-size", "21128", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["total"] == 102_882_442


def subprocess_line(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "bertsmith", *arguments], stderr=subprocess.PIPE, **options)


def test_python_m_works_and_a_closed_pipe_is_quiet() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess_line("recipes", "bert-mini", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_the_characters_still_gets_valid_json() -> None:
    code = (
        "from bertsmith import cli, pipeline; pipeline.next_sentence = lambda *a, **o: [{'token': '今天'}]; "
        "cli.main(['predict', 'next-sentence', '--from', 'm', 'a', 'b', '--json'])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert json.loads(done.stdout) == {"token": "今天"}


def test_text_that_is_no_utf8_is_refused() -> None:
    done = subprocess_line("predict", "fill-mask", "--from", "m", b"\xff[MASK]".decode("utf-8", "surrogateescape"))
    assert done.returncode == 2
    assert b"is not UTF-8 text" in done.stderr
