"""Tagged words: columns in every scheme, and spans of characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.readers.columns import to_bio
from bertsmith.tasks.table import TASKS
from bertsmith.text.skipped import Skipped


def read(path: Path, content: str, task: str = "ner") -> tuple[list[TaggedExample], Skipped]:
    path.write_text(content, encoding="utf-8")
    skipped = Skipped()
    return TASKS[task].read(path, skipped), skipped


def columns(*sentences: str, between: str = "\t") -> str:
    """Sentences given as "word/tag word/tag"."""
    return "\n".join("".join(f"{word.replace('/', between)}\n" for word in sentence.split()) for sentence in sentences)


def test_tabs_and_spaces_and_white_lines(tmp_path: Path) -> None:
    text = columns("Anna/B-PER ran/O", "to/O Bonn/B-LOC") + "\t\nBert\tB-PER"
    examples, skipped = read(tmp_path / "train.tsv", text)
    assert [(e.words, e.tags) for e in examples] == [
        (("Anna", "ran"), ("B-PER", "O")),
        (("to", "Bonn"), ("O", "B-LOC")),
        (("Bert",), ("B-PER",)),
    ]
    assert all(example.spaced for example in examples)
    assert not skipped.counts
    assert examples[1].name == f"{tmp_path / 'train.tsv'}:4"
    conll = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n"
    examples, skipped = read(tmp_path / "eng.train", conll)
    assert [(e.words, e.tags) for e in examples] == [(("U.N.", "official"), ("B-ORG", "O"))]
    assert not skipped.counts


def test_bioes_stays_as_it_is(tmp_path: Path) -> None:
    examples, _ = read(tmp_path / "train.bioes", columns("a/B-X b/I-X c/E-X d/S-Y", "e/I-X"))
    assert examples[0].tags == ("B-X", "I-X", "E-X", "S-Y")


def test_iob1_becomes_bio_and_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples, _ = read(tmp_path / "train.iob", columns("a/I-X b/I-X c/B-X d/I-Y e/O f/I-Y"))
    assert examples[0].tags == ("B-X", "I-X", "B-X", "B-Y", "O", "B-Y")
    assert "IOB1" in capsys.readouterr().err
    assert to_bio(["I-X", "O", "I-X", "I-X", "B-X", "I-X"]) == ["B-X", "O", "B-X", "I-X", "B-X", "I-X"]


def test_bio_with_a_slip_is_not_iob1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples, _ = read(tmp_path / "train.tsv", columns("a/B-X b/I-X c/O d/I-Y"))
    assert examples[0].tags == ("B-X", "I-X", "O", "I-Y")
    assert capsys.readouterr().err == ""


def test_bad_sentences_are_counted(tmp_path: Path) -> None:
    text = "a\tO\nb\n\n\tO\n\na\tX\n\nc\tO\nd\tB-\n\ne\tO\n"
    examples, skipped = read(tmp_path / "train.tsv", text)
    assert [example.words for example in examples] == [("e",)]
    assert skipped.counts == {
        "a sentence whose lines do not all have as many columns": 1,
        "a sentence with a line without a word": 1,
        "a sentence with 'X' where a tag such as O, B-X or I-X belongs": 1,
        "a sentence with 'B-' where a tag such as O, B-X or I-X belongs": 1,
    }
    assert skipped.examples["a sentence with a line without a word"] == [f"{tmp_path / 'train.tsv'}:4"]


def test_words_alone_are_unlabelled(tmp_path: Path) -> None:
    examples, _ = read(tmp_path / "test.txt", "Anna\nran\n")
    assert examples[0].tags is None


def test_chinese_characters_with_their_places_in_words(tmp_path: Path) -> None:
    examples, _ = read(
        tmp_path / "train.conll", columns("科0/O 技1/O 全0/O 方1/O", "在0/O 北0/B-GPE.NAM 京1/I-GPE.NAM 30/O")
    )
    assert [example.words for example in examples] == [tuple("科技全方"), tuple("在北京3")]
    assert not examples[0].spaced
    examples, _ = read(tmp_path / "train.conll", columns("科/O 技/O", "G7/O 在/O"))
    assert [example.words for example in examples] == [("科", "技"), ("G7", "在")]
    assert not examples[0].spaced


def lines(*records: object) -> str:
    return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def test_cluener_by_character(tmp_path: Path) -> None:
    record = {"text": "浙商 银行叶老桂CS", "label": {"name": {"叶老桂": [[5, 7]]}, "company": {"浙商": [[0, 1]]}}}
    examples, skipped = read(
        tmp_path / "train.json", lines(record, {"text": "没有", "label": {}}, {"text": "试"}), "cluener"
    )
    assert examples[0].words == tuple("浙商 银行叶老桂CS")
    assert examples[0].tags == ("B-company", "I-company", "O", "O", "O", "B-name", "I-name", "I-name", "O", "O")
    assert not examples[0].spaced
    assert [example.tags for example in examples[1:]] == [("O", "O"), None]
    assert not skipped.counts


@pytest.mark.parametrize(
    "entities",
    [
        {"entities": [{"start": 0, "end": 4, "label": "PER"}, {"start": 12, "end": 20, "label": "LOC"}]},
        {"label": [[0, 4, "PER"], [12, 20, "LOC"]]},
        {"spans": [[12, 20, "LOC"], [0, 4, "PER"]]},
    ],
)
def test_spans_of_words(entities: dict[str, Any], tmp_path: Path) -> None:
    examples, skipped = read(tmp_path / "train.jsonl", lines({"text": "Anna ran to New York.", **entities}))
    assert examples[0].words == ("Anna", "ran", "to", "New", "York", ".")
    assert examples[0].tags == ("B-PER", "O", "O", "B-LOC", "I-LOC", "O")
    assert examples[0].spaced
    assert not skipped.counts


def test_spans_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    text = "Annabel ran home"
    records = [
        {"text": text, "entities": [[0, 4, "PER"]]},  # inside a word
        {"text": text, "entities": [[0, 7, "PER"], [0, 11, "X"], [12, 16, "LOC"]]},  # two overlap
        {"text": text, "entities": [[7, 8, "PER"]]},  # a space
        {"text": text, "entities": [[0, 99, "PER"]]},
        {"text": text, "entities": [["a", 4, "PER"]]},
        {"text": text, "entities": [[0, 4, ""]]},
        {"text": text, "entities": "PER"},
        {"text": text, "label": {"PER": {"Anna": [[1, 4]]}}},
        {"text": text, "label": {"PER": [[1, 4]]}},
        {"text": " "},
        {"entities": []},
    ]
    examples, skipped = read(tmp_path / "train.jsonl", lines(*records))
    assert [example.tags for example in examples] == [("B-PER", "O", "O"), ("B-X", "I-X", "B-LOC"), ("O", "O", "O")]
    assert {reason[:36]: count for reason, count in skipped.counts.items()} == {
        "an entity that begins or ends inside": 1,
        "an entity that overlaps a longer one": 1,
        "an entity without a word of its own ": 1,
        "an entity outside its text": 1,
        "entities that are no {type: {text: [": 4,
        "an entity that is not where the file": 1,
        "no text in field 'text'": 2,
    }
