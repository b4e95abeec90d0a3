"""GLUE's tab-separated files, and those that look like them: SNLI, QQP, ChnSentiCorp.

Column names and places are those of the published files (gluebenchmark.com, nlp.stanford.edu/projects/snli).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.readers.delimited import (
    Columns,
    Places,
    examples,
    places_in,
    scores,
    with_header,
    without_header,
)
from bertsmith.tasks.readers.files import Line, json_lines, known_label, label_in, lines, text_in
from bertsmith.text.skipped import Skipped

BINARY = ("0", "1")
INFERENCE = ("entailment", "neutral", "contradiction")
ENTAILMENT = ("entailment", "not_entailment")
NO_AGREEMENT = ("-",)
INFERENCE_NUMBERS = {str(number): label for number, label in enumerate(INFERENCE)}

_ID = ("index", "id")
_SENTENCES = (("sentence1",), ("sentence2",))

read_sst2 = with_header(Columns(("sentence",), (), ("label",), _ID), BINARY)
read_mrpc = with_header(Columns(("#1 String",), ("#2 String",), ("Quality",), _ID), BINARY)
read_stsb = scores(with_header(Columns(*_SENTENCES, ("score",), _ID)), 0.0, 5.0)
read_qqp = with_header(Columns(("question1",), ("question2",), ("is_duplicate",), _ID), BINARY)
read_mnli = with_header(Columns(*_SENTENCES, ("gold_label",), _ID, NO_AGREEMENT), INFERENCE)
read_qnli = with_header(Columns(("question",), ("sentence",), ("label",), _ID), ENTAILMENT)
read_rte = with_header(Columns(*_SENTENCES, ("label",), _ID), ENTAILMENT)
read_wnli = with_header(Columns(*_SENTENCES, ("label",), _ID), BINARY)
read_ax = with_header(
    Columns(("sentence1", "Premise"), ("sentence2", "Hypothesis"), ("gold_label", "label", "Label"), _ID), INFERENCE
)
read_chnsenticorp = with_header(Columns(("text_a",), (), ("label",), ("qid",)), BINARY)
read_question_pairs = without_header(Places(3, 0, 1, 2), BINARY)

_COLA_ROWS = Places(width=4, first=3, second=None, label=1)
_COLA_TEST = Columns(("sentence",), (), ("label",), _ID)
_SNLI_TABLE = Columns(*_SENTENCES, ("gold_label",), (), NO_AGREEMENT)
_SNLI_ROWS = Places(width=3, first=0, second=1, label=2, no_label=NO_AGREEMENT)


def read_cola(path: Path, skipped: Skipped) -> list[TextExample]:
    """CoLA: source, label, the author's mark, sentence, without a header; the test part has one, and no labels."""
    rows = lines(path, skipped)
    first = _first(rows, path)
    names = first.text.split("\t")
    if "sentence" in names or len(names) < _COLA_ROWS.width:
        return list(examples(rows, places_in(first, _COLA_TEST), BINARY, skipped))
    return [*examples(iter([first]), _COLA_ROWS, BINARY, skipped), *examples(rows, _COLA_ROWS, BINARY, skipped)]


def read_snli(path: Path, skipped: Skipped) -> list[TextExample]:
    """SNLI as JSON lines, as the table with a header, or as three columns: premise, hypothesis, label 0 to 2."""
    if path.name.removesuffix(".gz").endswith((".jsonl", ".json")):
        return _snli_records(path, skipped)
    rows = lines(path, skipped)
    first = _first(rows, path)
    if "gold_label" in first.text.split("\t"):
        return list(examples(rows, places_in(first, _SNLI_TABLE), INFERENCE, skipped))
    found = list(examples(iter([first]), _SNLI_ROWS, INFERENCE, skipped, INFERENCE_NUMBERS))
    return found + list(examples(rows, _SNLI_ROWS, INFERENCE, skipped, INFERENCE_NUMBERS))


def _snli_records(path: Path, skipped: Skipped) -> list[TextExample]:
    found: list[TextExample] = []
    for place, values in json_lines(path, skipped):
        first, second = text_in(values, "sentence1"), text_in(values, "sentence2")
        label = label_in(values, "gold_label")
        if label in NO_AGREEMENT:
            skipped.add("no label that people agreed on", place)
        elif first is None or second is None:
            skipped.add("no text in field 'sentence1' or 'sentence2'", place)
        elif known_label(label, INFERENCE, place, skipped):
            found.append(TextExample(place, first, second, label))
    return found


def _first(rows: Iterator[Line], path: Path) -> Line:
    first = next(rows, None)
    if first is None:
        raise UsageError(f"{path}: is empty")
    return first
