"""Texts whose similarity is learnt: forms of data, columns, labels, what they are judged by, and every bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import UsageError
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import build_model
from bertsmith.tasks.encoding import PairEncoder
from bertsmith.tasks.evaluation import evaluate
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.finetuning import finetune_once
from bertsmith.tasks.finetuning_config import finetuning_config
from bertsmith.tasks.naming import task_for
from bertsmith.tasks.pair_parts import judge_by, read_pair_parts
from bertsmith.tasks.sentence_pairs import NAME, open_pairs
from bertsmith.tasks.trained import Trained, load_trained
from bertsmith.tasks.user_table import Columns
from bertsmith.text.skipped import Skipped
from tests.tiny_models import TINY
from tests.tiny_tasks import alike, task_of, texts, tiny_job, tokenizer_of, write_start

NONE = Columns()
STSB = "index\tgenre\tsentence1\tsentence2\tscore\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def read(path: Path, asked: Columns = NONE) -> tuple[list[TextExample], Skipped]:
    task, _ = open_pairs(path, asked)
    skipped = Skipped()
    return task.read(path, skipped), skipped


# --- forms of data ---


@pytest.mark.parametrize(
    ("name", "text", "form", "labels"),
    [
        ("a.csv", "sentence1,sentence2,score\na,b,4.5\nc,d,0\n", "scored", [4.5, 0.0]),
        ("a.csv", "question1,question2,is_duplicate\na,b,1\nc,d,0\n", "labelled", [1.0, 0.0]),
        ("a.jsonl", '{"text1": "a", "text2": "b", "label": true}\n{"text1": "c", "text2": "d", "label": false}', 0, 0),
        ("a.tsv", "premise\thypothesis\tlabel\na\tb\tentailment\nc\td\tcontradiction\n", "labelled", [1.0, 0.0]),
        ("a.csv", "sentence1,sentence2,label\na,b,1.0\nc,d,0.0\n", "labelled", [1.0, 0.0]),
        ("a.csv", "left,right\na long text,b\nanother one,d\n", "pairs", [1.0, 1.0]),
        ("a.txt", "a\n\nb\n", "texts", [1.0, 1.0]),
    ],
)
def test_the_form_is_told_by_the_data(tmp_path: Path, name: str, text: str, form: str, labels: list[float]) -> None:
    path = write(tmp_path / name, text)
    task, columns = open_pairs(path, NONE)
    examples, skipped = read(path)
    assert task.form == (form or "labelled") and [e.label for e in examples] == (labels or [1.0, 0.0])
    assert task.name == NAME and task.type == "similarity" and not skipped.counts
    assert all((e.second is None) == (form == "texts") for e in examples)
    assert bool(columns.second) == (form != "texts")


def test_published_files_are_read_by_their_own_reader(tmp_path: Path) -> None:
    quoted = write(tmp_path / "STS-B" / "dev.tsv", STSB + '0\tx\tA "b\tc\t5.0\n1\tx\td"\te\tnan\n')
    examples, skipped = read(quoted)
    assert [(e.first, e.second, e.label) for e in examples] == [('A "b', "c", 5.0)]
    assert list(skipped.counts) == ["the score is not a finite number"]
    bank = write(tmp_path / "afqmc" / "train.json", '{"sentence1": "甲", "sentence2": "乙", "label": "1"}\n')
    task, _ = open_pairs(bank, NONE)
    assert (task.form, task.language, read(bank)[0][0].label) == ("labelled", "zh", 1.0)
    lines = [f'{{"sentence1": "a", "sentence2": "{x}", "gold_label": "{x}"}}' for x in ("entailment", "neutral", "-")]
    examples, skipped = read(write(tmp_path / "snli" / "train.jsonl", "\n".join(lines)))
    assert [e.label for e in examples] == [1.0]
    assert set(skipped.counts) == {
        "neutral pairs teach nothing and are left out",
        "no label that people agreed on",
    }


def test_columns_that_are_named_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,x,y,z\n1,first,second,0.5\n2,third,fourth,1\n")
    task, columns = task_for(NAME, path, Columns("x", "y", "z"))
    assert task.form == "scored" and columns is not None and columns.second == "y"
    with pytest.raises(UsageError, match="has no column 'w'"):
        task_for(NAME, path, Columns("x", "w", "z"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: is empty"),
        ("a.csv", "a,b\n", "has a header but no row"),
        ("a.txt", " \n\n", "a.txt: holds no text"),
        ("a.csv", "text,score\na,1\nb,2\n", "holds one text in a row ('text' of text, score)"),
        ("a.csv", "text\na\nb\n", "holds one text in a row"),
        ("a.csv", "sentence1,sentence2,label\na,b,maybe\n", "a.csv:2: 'maybe' in column 'label' is no score"),
        ("a.csv", "sentence1,sentence2,label\na,b,nan\n", "a.csv:2: 'nan' in column 'label' is no score"),
        ("a.csv", "sentence1,sentence2,label\na,b,\n", "column 'label' is empty"),
        ("a.xls", "a", "is of no known kind"),
    ],
)
def test_what_holds_no_pairs_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        open_pairs(write(tmp_path / name, text), NONE)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file or folder"):
        open_pairs(tmp_path / "no.csv", NONE)
    with pytest.raises(UsageError, match=r"holds no \.csv"):
        open_pairs(tmp_path, NONE)
    with pytest.raises(UsageError, match="is plain text"):
        open_pairs(write(tmp_path / "a.txt", "a"), Columns("x"))


# --- parts ---


def test_a_part_is_held_out_or_named(tmp_path: Path) -> None:
    rows = [f"first {i},second {i},{i % 2}" for i in range(40)]
    path = write(tmp_path / "a.csv", "\n".join(["sentence1,sentence2,label", *rows]))
    task, _ = open_pairs(path, NONE)
    parts = read_pair_parts(task, path, 0, 0.1)
    assert (len(parts.train), len(parts.validation["validation"])) == (36, 4)
    judge = write(tmp_path / "j.csv", "sentence1,sentence2,score\na,b,4.5\nc,d,0\n")
    judged, parts = judge_by(task, read_pair_parts(task, path, 0, 0.0), judge)
    assert judged.metrics == ("spearman", "pearson") and len(parts.train) == 40
    assert [e.label for e in parts.validation["data"]] == [4.5, 0.0]
    with pytest.raises(UsageError, match="is plain text; models are judged by pairs"):
        judge_by(task, parts, write(tmp_path / "j.txt", "a\nb\n"))


def test_text_is_judged_by_lines_that_follow_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\n".join(f"line {i}" + "\n" * (i % 10 == 9) for i in range(100)))
    task, _ = open_pairs(path, NONE)
    train, validation, test = read_pair_parts(task, path, 0, 0.2)
    pairs = validation["validation"]
    assert len(pairs) == 10 and len(train) == 80 and not test
    for pair in pairs:
        number = int(pair.first.split()[1])
        assert pair.second == f"line {number + 1}" and number % 10 != 9
    assert not {text for pair in pairs for text in pair[1:3]} & {example.first for example in train}
    assert read_pair_parts(task, path, 0, 0.2).validation == validation
    assert len(read_pair_parts(task, path, 0, 0.0).train) == 100
    apart = write(tmp_path / "b.txt", "a\n\nb\n\nc\n\nd\n")
    with pytest.raises(UsageError, match="too few lines follow each other"):
        read_pair_parts(open_pairs(apart, NONE)[0], apart, 0, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence1,sentence2,score\n" + "a,b,2.5\n" * 9, "all 8 training rows hold the same text"),
        ("sentence1,sentence2,score\n" + "".join(f"a{i},b,2.5\n" for i in range(9)), "have the score 2.5"),
        ("sentence1,sentence2,label\n" + "".join(f"a{i},b,0\n" for i in range(9)), "none of 8 training pairs belongs"),
        ("sentence1,sentence2\na,b\n", "too few, or too alike"),
    ],
)
def test_what_gives_nothing_to_learn_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    train = write(tmp_path / "train.csv", text)
    task, _ = open_pairs(train, NONE)
    if "same text" in message:
        write(tmp_path / "dev.csv", "sentence1,sentence2,score\na,c,1\n")
    data, message = (tmp_path, message.replace("8", "9")) if "same text" in message else (train, message)
    with pytest.raises(UsageError) as error:
        read_pair_parts(task, data, 0, 0.1)
    assert message in str(error.value) and "\n" not in str(error.value)


# --- what is learnt ---


def test_the_objective_follows_from_the_form() -> None:
    for form, wanted in (
        ("texts", "simcse"),
        ("pairs", "contrastive"),
        ("labelled", "contrastive"),
        ("scored", "cosine"),
    ):
        config = finetuning_config(task_of("similarity", form=form), 256, 1000)
        assert config.task.objective == wanted and config.task.normalize and config.task.pooling == "mean"
    chosen = finetuning_config(task_of("similarity", form="scored"), 256, 1000, {"task.objective": "simcse"})
    assert chosen.task.objective == "simcse"
    assert not finetuning_config(task_of("regression"), 256, 1000).task.normalize


@pytest.mark.parametrize(
    ("form", "flags", "message"),
    [
        ("texts", {"task.objective": "cosine"}, "is not for such data"),
        ("pairs", {"task.objective": "cosine"}, "from which contrastive or simcse is learnt"),
        ("scored", {"task.objective": "contrastive"}, "from which cosine or simcse is learnt"),
        ("texts", {"task.dropout": "0"}, "--task.dropout 0: simcse"),
        ("pairs", {"task.objective": "infonce"}, "task.objective"),
        ("pairs", {"task.temperature": "0"}, "task.temperature"),
    ],
)
def test_what_cannot_be_learnt_is_one_line(form: str, flags: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        finetuning_config(task_of("similarity", form=form), 256, 1000, flags)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_pairs_become_two_sequences(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("wordpiece")
    [pair] = [TextExample("x", "the cat sat on a mat", "a dog", 1.0)]
    for objective, count, labels in (("contrastive", 1, (1, 3)), ("simcse", 2, (1, 3)), ("cosine", 1, (1,))):
        encoder = PairEncoder(tokenizer, 6, objective)
        [inputs] = encoder.encode([pair])
        assert [len(s.token_ids) for s in inputs.sequences] == [6, 4] and encoder.truncated == 1
        found = encoder.labelled(pair, inputs)
        assert len(found) == count and all(len(f.sequences) == 2 and f.labels.shape == labels for f in found)
        if objective == "simcse":
            assert all(f.sequences[0] is f.sequences[1] and f.labels[0, 0] == f.labels[0, 1] for f in found)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_start(tmp_path_factory.mktemp("start") / "bert")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 1}, "leave a pair alone"),
        ({"micro_batch": 1}, "leave a pair alone"),
        ({"task_tokens_at_once": 9}, "tokens hold no two pairs"),
    ],
)
def test_a_pair_alone_has_nothing_to_be_told_from(
    values: dict[str, Any], message: str, start: Path, tmp_path: Path
) -> None:
    made = tiny_job(task_of("similarity"), alike(12), alike(12), task_objective="contrastive", **values)
    with pytest.raises(UsageError, match=message):
        finetune_once(made, start, tmp_path / "run")


def test_simcse_trains_a_model_without_dropout_with_some(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("wordpiece")
    config = replace(TINY, vocab_size=tokenizer.vocab_size, dropout=0.0, attention_dropout=0.0)
    folder = tmp_path / "start"
    folder.mkdir()
    save_model(build_model(config, ("masked_lm",), 0), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 24)
    single = [example._replace(label=1.0) for example in texts(16)]
    values = {"task_objective": "simcse", "epochs": 1.0}
    for number, options in enumerate(({"random": False}, {"random": True})):
        made = tiny_job(task_of("similarity"), single, alike(12), **values)
        result = finetune_once(made, folder, tmp_path / f"run-{number}", **options)
        assert load_model(Path(result.model)).config.dropout == 0.1
    lines = (tmp_path / "run-0" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["labelled_loss"] > 0.01, "the two views are not the same"


def test_the_record_and_the_model_of_a_run(start: Path, tmp_path: Path) -> None:
    made = tiny_job(task_of("similarity"), alike(12), alike(12), task_objective="cosine", task_pooling="cls")
    finetune_once(made, start, tmp_path / "run")
    trained = load_trained(tmp_path / "run")
    assert trained.settings is not None and trained.settings.type == "similarity"
    assert trained.settings.config.pooling == "cls" and trained.model.task is None and not trained.model.heads
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]


def test_any_encoder_is_judged_and_a_single_text_is_refused(start: Path) -> None:
    found = evaluate(load_trained(start), task_of("similarity"), alike(24))
    assert set(found.metrics) == {"average_precision", "auc"} and found.examples == 24
    alone = [TextExample("t:1", "the cat", None, 1.0)]
    with pytest.raises(UsageError, match="t:1: is a single text"):
        evaluate(Trained(start, load_model(start), tokenizer_of("wordpiece"), 24), task_of("similarity"), alone)
