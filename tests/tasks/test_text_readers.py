"""GLUE, SNLI, CLUE and their like: examples of every published layout, and rows that hold none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.table import TASKS
from bertsmith.text.skipped import Skipped


def read(task: str, path: Path, content: str) -> tuple[list[Any], Skipped]:
    path.write_text(content, encoding="utf-8")
    skipped = Skipped()
    return TASKS[task].read(path, skipped), skipped


def told(examples: list[TextExample]) -> list[tuple[str, str | None, str | float | None]]:
    return [(example.first, example.second, example.label) for example in examples]


LAYOUTS = {
    "sst2": ("sentence\tlabel\nfine film \t1\nno\t0\n", [("fine film", None, "1"), ("no", None, "0")]),
    "mrpc": (
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe said "so .\tSo he said .\n',
        [('He said "so .', "So he said .", "1")],
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\t2012\t1\tn\tn\tA man runs.\tA man walks.\t3.800\n",
        [("A man runs.", "A man walks.", 3.8)],
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n5\t1\t2\tWho?\tWhose?\t0\n",
        [("Who?", "Whose?", "0")],
    ),
    "mnli": (
        "index\tpairID\tsentence1\tsentence2\tlabel1\tgold_label\n0\tx\tIt rains.\tIt is wet.\tneutral\tentailment\n",
        [("It rains.", "It is wet.", "entailment")],
    ),
    "qnli": (
        "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn May.\tentailment\n1\tWho?\tIn May.\tnot_entailment\n",
        [("When?", "In May.", "entailment"), ("Who?", "In May.", "not_entailment")],
    ),
    "rte": ("index\tsentence1\tsentence2\tlabel\n0\ta b\tc\tnot_entailment\n", [("a b", "c", "not_entailment")]),
    "wnli": ("index\tsentence1\tsentence2\tlabel\n0\ta b\tc\t1\n", [("a b", "c", "1")]),
    "ax": (
        "Lexical Semantics\tPremise\tHypothesis\tLabel\nx\tA cat.\tNo cat.\tcontradiction\n",
        [("A cat.", "No cat.", "contradiction")],
    ),
    "cola": (
        "gj04\t1\t\tShe ran.\r\ngj04\t0\t*\tRan she the.\r\n",
        [("She ran.", None, "1"), ("Ran she the.", None, "0")],
    ),
    "qqp_small": ("Who ?\tWhose ?\t1\n", [("Who ?", "Whose ?", "1")]),
    "snli": (
        "a man sits\ta man sleeps\t1\nx\ty\t2\n",
        [("a man sits", "a man sleeps", "neutral"), ("x", "y", "contradiction")],
    ),
    "chnsenticorp": ("label\ttext_a\n1\t房间 很大\n", [("房间 很大", None, "1")]),
}


@pytest.mark.parametrize("task", LAYOUTS)
def test_tables(task: str, tmp_path: Path) -> None:
    content, expected = LAYOUTS[task]
    examples, skipped = read(task, tmp_path / "train.tsv", content)
    assert told(examples) == expected
    assert not skipped.counts
    assert examples[0].name.startswith(f"{tmp_path / 'train.tsv'}:")


@pytest.mark.parametrize(
    ("task", "content", "expected"),
    [
        ("cola", "index\tsentence\n0\tBill ran.\n1\t\n", [("0", "Bill ran."), ("1", "")]),
        ("sst2", "index\tsentence\n0\tgood\n", [("0", "good")]),
        ("mnli", "index\tsentence1\tsentence2\n9\ta\tb\n", [("9", "a")]),
        ("qqp", "id\tquestion1\tquestion2\n3\ta\tb\n", [("3", "a")]),
        ("stsb", "index\tsource1\tsource2\tsentence1\tsentence2\n0\tn\tn\ta\tb\n", [("0", "a")]),
        ("mrpc", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n4\t1\t2\ta\tb\n", [("4", "a")]),
    ],
)
def test_unlabelled_test_parts_keep_every_row(
    task: str, content: str, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    examples, skipped = read(task, tmp_path / "test.tsv", content)
    assert [(example.name, example.first) for example in examples] == expected
    assert all(example.label is None for example in examples)
    assert not skipped.counts


def test_bad_rows_are_counted_by_reason_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_bytes(b"sentence\tlabel\ngood\t1\nbad\nodd\t2\n\t1\nfour\tfive\t1\n\n\xff\t1\nlast\t0")
    skipped = Skipped()
    assert [example.first for example in TASKS["sst2"].read(path, skipped)] == ["good", "last"]
    assert skipped.counts == {
        "1 columns instead of 2": 1,
        "unknown label '2' (known: 0, 1)": 1,
        "no text": 1,
        "3 columns instead of 2": 1,
        "not UTF-8": 1,
    }
    assert skipped.examples["unknown label '2' (known: 0, 1)"] == [f"{path}:4"]
    with pytest.raises(BertsmithError, match=r"train\.tsv:3: 1 columns instead of 2"):
        TASKS["sst2"].read(path, Skipped(fail=True))


def test_scores_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"a\tb\t{score}\n" for score in ("1.5", "nan", "inf", "high", "5.5", "0"))
    examples, skipped = read("stsb", tmp_path / "train.tsv", f"sentence1\tsentence2\tscore\n{rows}")
    assert [example.label for example in examples] == [1.5, 0.0]
    assert skipped.counts == {"the score is not a finite number": 3, "the score is outside 0 to 5": 1}


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("sst2", "text\tlabel\na\t1\n", "train.tsv:1: no column 'sentence'"),
        ("sst2", "sentense\tlabel\na\t1\n", "no column 'sentence'; did you mean sentense"),
        ("sst2", "sentence\tLabel\na\t1\n", "no column 'label', but one that is called 'Label'"),
        ("sst2", "", "train.tsv: is empty"),
        ("cola", "", "train.tsv: is empty"),
        ("snli", "", "train.tsv: is empty"),
    ],
)
def test_a_table_that_is_none_is_named(task: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(task, tmp_path / "train.tsv", content)


def test_wide_text_pipes_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\na\t1\n", encoding="utf-16")
    with pytest.raises(UsageError, match=r"train\.tsv: the file is UTF-16"):
        TASKS["sst2"].read(path, Skipped())
    with pytest.raises(UsageError, match=r"no\.tsv: cannot be read"):
        TASKS["sst2"].read(tmp_path / "no.tsv", Skipped())
    packed = tmp_path / "train.tsv.gz"
    packed.write_bytes(gzip.compress(b"sentence\tlabel\na\t1\n"))
    assert told(TASKS["sst2"].read(packed, Skipped())) == [("a", None, "1")]


def lines(*records: object) -> str:
    return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def test_snli_records_and_its_table(tmp_path: Path) -> None:
    records = [{"gold_label": label, "sentence1": "a", "sentence2": "b"} for label in ("neutral", "-", "maybe")]
    examples, skipped = read("snli", tmp_path / "train.jsonl", lines(*records))
    assert told(examples) == [("a", "b", "neutral")]
    assert skipped.counts["no label that people agreed on"] == 1
    assert skipped.counts["unknown label 'maybe' (known: entailment, neutral, contradiction)"] == 1
    table = "gold_label\tsentence1_parse\tsentence1\tsentence2\n-\tx\ta\tb\nentailment\tx\tc\td\n"
    examples, skipped = read("snli", tmp_path / "train.txt", table)
    assert told(examples) == [("c", "d", "entailment")]
    assert skipped.counts == {"no label that people agreed on": 1}


CLUE = {
    "afqmc": ({"sentence1": "借呗", "sentence2": "花呗", "label": "0"}, ("借呗", "花呗", "0")),
    "tnews": ({"label": 104, "label_desc": "news", "sentence": "股市", "id": 3}, ("股市", None, "104")),
    "iflytek": ({"label": "118", "label_des": "其他", "sentence": "应用"}, ("应用", None, "118")),
    "ocnli": ({"sentence1": "甲", "sentence2": "乙", "label": "neutral", "label0": None}, ("甲", "乙", "neutral")),
    "cmnli": ({"sentence1": "甲", "sentence2": "乙", "label": "contradiction"}, ("甲", "乙", "contradiction")),
    "eprstmt": ({"id": 0, "sentence": "好", "label": "Positive"}, ("好", None, "Positive")),
    "csl": ({"id": 1, "abst": "摘要。", "keyword": ["词一", "词二"], "label": "1"}, ("词一;词二", "摘要。", "1")),
    "cluewsc": (
        {
            "target": {"span1_index": 0, "span1_text": "小明", "span2_index": 4, "span2_text": "他"},
            "label": "true",
            "text": "小明说，他累。",
        },
        ("_小明_说，[他]累。", None, "true"),
    ),
}


@pytest.mark.parametrize("task", CLUE)
def test_clue(task: str, tmp_path: Path) -> None:
    record, expected = CLUE[task]
    unlabelled = {key: value for key, value in record.items() if key != "label"} | {"id": 7}
    wrong = record | {"label": "没有"}
    examples, skipped = read(task, tmp_path / "train.json", lines(record, unlabelled, wrong, {"label": "1"}, [1]))
    first, second, label = expected
    first = first.replace(";", "；")
    assert told(examples) == [(first, second, label), (first, second, None)]
    assert examples[1].name == "7"
    assert sum(skipped.counts.values()) == 3
    assert skipped.counts["not a JSON object"] == 1


def test_labels_without_agreement_are_dropped_and_counted(tmp_path: Path) -> None:
    record = {"sentence1": "甲", "sentence2": "乙", "label": "-"}
    examples, skipped = read("ocnli", tmp_path / "train.json", lines(record, record) + "{\n")
    assert examples == []
    assert skipped.counts == {"no label that people agreed on": 2, "not JSON": 1}


def test_a_noun_that_is_not_where_the_file_says_is_counted(tmp_path: Path) -> None:
    record, _ = CLUE["cluewsc"]
    target = record["target"]
    moved = [
        target | change for change in ({"span1_index": 1}, {"span2_index": 1, "span2_text": "明"}, {"span1_text": 3})
    ]
    examples, skipped = read("cluewsc", tmp_path / "train.json", lines(*({**record, "target": t} for t in moved)))
    assert examples == []
    assert skipped.counts == {"the two words are not where the file says": 3}
