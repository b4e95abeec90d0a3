"""Files for the benchmarks' own servers."""

from __future__ import annotations

import json
from pathlib import Path

from bertsmith.tasks.examples import AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Regressed, Tagged
from bertsmith.tasks.submissions import answers_file, glue_file, json_lines, unlabelled_parts
from bertsmith.tasks.table import TASKS


def test_glue_takes_an_index_and_a_prediction() -> None:
    examples = [TextExample("0", "a", "b", None), TextExample("7", "c", "d", None)]
    labels = [Classified("entailment", {}), Classified("not_entailment", {})]
    assert glue_file(TASKS["rte"], examples, labels) == "index\tprediction\n0\tentailment\n7\tnot_entailment\n"
    scores = [Regressed(5.4), Regressed(2.25)]
    assert glue_file(TASKS["stsb"], examples, scores) == "index\tprediction\n0\t5.000\n7\t2.250\n"


def test_rows_without_an_id_are_numbered_and_clue_takes_json_lines() -> None:
    examples = [ChoiceExample("c3.json:1", "", "", ("a", "b"), None), ChoiceExample("x9", "", "", ("a", "b"), None)]
    lines = json_lines(TASKS["c3"], examples, [Chosen(1, (0.1, 0.9)), Chosen(0, (0.8, 0.2))]).splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 0, "label": 1}, {"id": "x9", "label": 0}]


def test_clue_takes_entities_by_type_and_answers_by_question() -> None:
    tagged = TaggedExample("cluener.json:1", tuple("李明在北京"), None, False)
    tags = Tagged(("B-name", "I-name", "O", "B-address", "I-address"), (1.0,) * 5)
    assert json.loads(json_lines(TASKS["cluener"], [tagged], [tags])) == {
        "id": 0,
        "label": {"name": {"李明": [[0, 1]]}, "address": {"北京": [[3, 4]]}},
    }
    asked = [AnswerExample("TEST_0_QUERY_0", "他生于北京。", "哪里？", (), False)]
    answers = answers_file(TASKS["cmrc2018"], asked, [Answered("北京", 3, 5, 0.9, 0.0)])
    assert json.loads(answers) == {"TEST_0_QUERY_0": "北京"}


def test_parts_are_those_without_labels(tmp_path: Path) -> None:
    unlabelled = [TextExample("0", "a", None, None)]
    [part] = unlabelled_parts(TASKS["sst2"], tmp_path, unlabelled)
    assert part.file == "SST-2.tsv"
    assert unlabelled_parts(TASKS["sst2"], tmp_path, [TextExample("0", "a", None, "1")]) == []
    assert unlabelled_parts(TASKS["sst2"], tmp_path, []) == []
    assert unlabelled_parts(TASKS["afqmc"], tmp_path, unlabelled)[0].file == "afqmc_predict.json"
    assert unlabelled_parts(TASKS["tnews"], tmp_path, unlabelled)[0].file == "tnews11_predict.json"


def test_mnli_has_two_files_and_answers_the_diagnostic_pairs_beside_it(tmp_path: Path) -> None:
    folder, beside = tmp_path / "MNLI", tmp_path / "AX"
    folder.mkdir()
    for name in ("test_matched.tsv", "test_mismatched.tsv"):
        (folder / name).write_text("index\tsentence1\tsentence2\n0\ta\tb\n")
    test = [TextExample("0", "a", "b", None)]
    assert [part.file for part in unlabelled_parts(TASKS["mnli"], folder, test)] == ["MNLI-m.tsv", "MNLI-mm.tsv"]
    beside.mkdir()
    (beside / "diagnostic.tsv").write_text("index\tsentence1\tsentence2\n7\tc\td\n")
    diagnostic = unlabelled_parts(TASKS["mnli"], folder, test)[-1]
    assert (diagnostic.file, diagnostic.examples[0].first) == ("AX.tsv", "c")
