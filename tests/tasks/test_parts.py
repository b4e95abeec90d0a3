"""The parts of a task: where their files are, what is split off, labels that do not fit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import AnswerExample, TaggedExample, TextExample
from bertsmith.tasks.parts import labels_of, part_files, read_evaluation, read_evaluation_counted, read_part, read_parts
from bertsmith.tasks.splitting import split_off
from bertsmith.tasks.table import TASKS, find_task
from bertsmith.tasks.task import PARTS
from bertsmith.text.skipped import Skipped

SST2 = TASKS["sst2"]
NER = TASKS["ner"]


def sst2(path: Path, rows: int, start: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"sentence {number}\t{number % 2}\n" for number in range(start, start + rows))
    path.write_text(f"sentence\tlabel\n{lines}")


def columns(path: Path, *sentences: str) -> None:
    path.write_text("\n".join("".join(f"{word.replace('/', ' ')}\n" for word in s.split()) for s in sentences))


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_whole(name: str) -> None:
    task = find_task(name)
    assert task.name == name
    assert task.description
    assert task.metrics
    assert set(task.files) <= set(PARTS)
    assert len(set(task.labels)) == len(task.labels)
    assert (task.type in ("classification", "tagging")) >= bool(task.labels)


def test_the_nearest_task_is_named() -> None:
    with pytest.raises(UsageError, match="sst-2: there is no such task; did you mean sst2"):
        find_task("sst-2")


def test_a_folder_and_the_folder_above_it(tmp_path: Path) -> None:
    for part, rows, start in (("train", 20, 0), ("dev", 4, 20)):
        sst2(tmp_path / "SST-2" / f"{part}.tsv", rows, start)
    (tmp_path / "SST-2" / "test.tsv").write_text("index\tsentence\n0\tlast\n")
    for data in (tmp_path, tmp_path / "SST-2"):
        parts = read_parts(SST2, data, seed=1)
        assert len(parts.train) == 20
        assert {part: len(examples) for part, examples in parts.validation.items()} == {"validation": 4}
        assert [example.name for example in parts.test] == ["0"]
    assert read_part(SST2, tmp_path, "test")[0].first == "last"
    assert {part: len(examples) for part, examples in read_evaluation(SST2, tmp_path).items()} == {"validation": 4}
    assert len(read_evaluation(SST2, tmp_path / "SST-2" / "dev.tsv")["data"]) == 4


def test_both_validation_parts_of_mnli_and_race_in_many_files(tmp_path: Path) -> None:
    header = "index\tsentence1\tsentence2\tgold_label\n"
    for name, label in (("train", "neutral"), ("dev_matched", "entailment"), ("dev_mismatched", "neutral")):
        (tmp_path / f"{name}.tsv").write_text(f"{header}0\ta\tb {name}\t{label}\n1\tc\td {name}\tcontradiction\n")
    parts = read_parts(TASKS["mnli"], tmp_path, seed=0)
    assert list(parts.validation) == ["validation", "validation-mismatched"]
    passage = {"article": "x", "questions": ["?"], "options": [["a", "b"]], "answers": ["A"]}
    for place in ("train/high/1", "train/middle/2", "dev/high/3"):
        (tmp_path / f"RACE/{place}.txt").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"RACE/{place}.txt").write_text(json.dumps(passage))
    found = part_files(TASKS["race"], tmp_path)
    assert {part: len(paths) for part, paths in found.items()} == {"train": 2, "validation": 1}


def test_a_single_file_is_the_training_part_and_some_of_it_is_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sst2(tmp_path / "all.tsv", 200)
    first, again, other = (read_parts(SST2, tmp_path / "all.tsv", seed) for seed in (1, 1, 2))
    assert "20 of 200 examples of the training part are held out" in capsys.readouterr().err
    assert len(first.train) == 180
    assert first == again
    assert first.validation != other.validation
    assert sorted(first.train + first.validation["validation"]) == sorted(SST2.read(tmp_path / "all.tsv", Skipped()))
    assert read_parts(SST2, tmp_path / "all.tsv", 1, validation_share=0).validation == {}


def test_what_is_held_out_depends_on_the_texts_alone() -> None:
    examples = [TextExample(str(n), f"text {n}", None, "ab"[n % 2]) for n in range(50)]
    _, held_out = split_off(examples, 3, 0.2)
    _, reversed_out = split_off([e._replace(name="x") for e in reversed(examples)], 3, 0.2)
    assert [e.first for e in held_out] == [e.first for e in reversed(reversed_out)]
    assert len(held_out) == 10


def test_questions_of_one_context_stay_together_and_no_class_is_lost() -> None:
    asked = [AnswerExample(f"{n}", f"context {n % 7}", f"question {n}", (), True) for n in range(70)]
    train, held_out = split_off(asked, 0, 0.2)
    assert not {e.context for e in train} & {e.context for e in held_out}
    rare = [TextExample(str(n), f"text {n}", None, str(n // 2)) for n in range(40)]
    for seed in range(5):
        train, held_out = split_off(rare, seed, 0.5)
        assert Counter(e.label for e in train).keys() == {e.label for e in rare}
    tagged = [TaggedExample(str(n), (f"w{n}",), ("B-X" if n == 5 else "O",), True) for n in range(20)]
    assert any("B-X" in (e.tags or ()) for e in split_off(tagged, 0, 0.5)[0])
    with pytest.raises(UsageError, match="too few"):
        split_off(asked[:1], 0, 0.1)
    with pytest.raises(UsageError, match="too few, or too alike"):
        split_off([e._replace(context="one") for e in asked], 0, 0.1)


def test_repeats_between_the_parts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sst2(tmp_path / "train.tsv", 20)
    sst2(tmp_path / "dev.tsv", 5, start=18)
    assert len(read_parts(SST2, tmp_path, 0).validation["validation"]) == 5
    assert "2 of 5 examples of validation stand in training" in capsys.readouterr().err


def test_what_is_skipped_is_told_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\na\t1\nb\t7\nc\t\nd\t0\n")
    parts, counts = read_evaluation_counted(SST2, tmp_path / "dev.tsv")
    assert len(parts["data"]) == 2
    assert counts == {"unknown label '7' (known: 0, 1)": 1, "no label": 1}
    error = capsys.readouterr().err
    assert f"1 times no label, first at {tmp_path / 'dev.tsv'}:4" in error


def test_answers_that_are_nowhere_are_not_trained_on_but_scored(tmp_path: Path) -> None:
    def file(name: str, *answers: str) -> None:
        asked = [
            {"id": str(n), "question": "?", "answers": [{"text": text, "answer_start": 0}]}
            for n, text in enumerate(answers)
        ]
        document = {"data": [{"paragraphs": [{"context": "here it is", "qas": asked}]}]}
        (tmp_path / name).write_text(json.dumps(document))

    file("train.json", "here", "away")
    file("dev.json", "away")
    parts = read_parts(TASKS["squad1"], tmp_path, 0)
    assert [example.name for example in parts.train] == ["0"]
    assert parts.validation["validation"][0].answers[0].start == -1
    file("train.json", "away")
    with pytest.raises(UsageError, match="no example of squad1 can be trained on"):
        read_parts(TASKS["squad1"], tmp_path, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sentence\tlabel\n", "train.tsv: holds no example of sst2"),
        ("sentence\tlabel\na\t9\n", r"holds no example of sst2 \(1 times unknown label '9'"),
        ("index\tsentence\n0\ta\n", "holds 1 examples of sst2, but none has a label"),
        ("", "train.tsv: is empty"),
    ],
)
def test_a_training_part_without_examples(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(content)
    for data in (tmp_path, tmp_path / "train.tsv"):
        with pytest.raises(UsageError, match=message):
            read_parts(SST2, data, 0)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file or folder"):
        read_parts(SST2, tmp_path / "no", 0)
    with pytest.raises(UsageError, match=r"holds no file of sst2 \(looked for train.tsv, dev.tsv, test.tsv\)"):
        read_parts(SST2, tmp_path, 0)
    sst2(tmp_path / "dev.tsv", 4)
    with pytest.raises(UsageError, match=r"holds no training part of sst2 \(looked for train.tsv\)"):
        read_parts(SST2, tmp_path, 0)
    (tmp_path / "dev.tsv").rename(tmp_path / "train.tsv")
    with pytest.raises(UsageError, match="holds no validation part of sst2"):
        read_evaluation(SST2, tmp_path)
    with pytest.raises(UsageError, match="holds no part 'test' of sst2"):
        read_part(SST2, tmp_path, "test")


def test_labels_are_collected_and_held_against_each_other(tmp_path: Path) -> None:
    columns(tmp_path / "train.txt", "a/B-X b/I-X c/O", "d/B-Y e/O")
    columns(tmp_path / "dev.txt", "a/B-Y f/I-Y g/O")
    assert labels_of(NER, read_parts(NER, tmp_path, 0).train) == ("O", "B-X", "I-X", "B-Y", "I-Y")
    columns(tmp_path / "dev.txt", "a/B-Y g/O", "h/O i/B-Z")
    with pytest.raises(UsageError, match=r"dev\.txt:4: the label 'B-Z' stands in .*dev\.txt, but not in training"):
        read_parts(NER, tmp_path, 0)
    columns(tmp_path / "train.txt", "a/S-X c/O", "d/B-Y e/I-Y k/E-Y")
    columns(tmp_path / "dev.txt", "a/B-X f/E-X g/O")
    expected = ("O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y")
    assert labels_of(NER, read_parts(NER, tmp_path, 0).train) == expected


def test_fewer_than_two_classes_and_labels_that_the_task_has_not() -> None:
    one = [TextExample("a", "b", None, "1")]
    with pytest.raises(UsageError, match="every example has the label '1'"):
        labels_of(SST2, one)
    with pytest.raises(UsageError, match="no example has a label"):
        labels_of(SST2, [])
    with pytest.raises(UsageError, match="no word is tagged"):
        labels_of(NER, [TaggedExample("a", ("b",), ("O",), True)])
    with pytest.raises(UsageError, match="cluener: has no label 'B-planet'"):
        labels_of(TASKS["cluener"], [TaggedExample("a", ("b",), ("B-planet",), False)])
    assert labels_of(TASKS["stsb"], [TextExample("a", "b", "c", 1.0)]) == ()
    assert labels_of(SST2, [*one, TextExample("c", "d", None, "0")]) == ("0", "1")
