"""Multiple choice and questions on contexts: the published layouts, and answers that are not where they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import Answer, ChoiceExample
from bertsmith.tasks.readers.squad import MOVED, NOT_THERE, place_of
from bertsmith.tasks.table import TASKS
from bertsmith.text.skipped import Skipped

CONTEXT = "Anna met Bert in Bonn. Bert met Anna."


def read(task: str, path: Path, document: Any) -> tuple[list[Any], Skipped]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document, ensure_ascii=False), "utf-8")
    skipped = Skipped()
    return TASKS[task].read(path, skipped), skipped


def squad(*questions: dict[str, Any], context: str = CONTEXT) -> dict[str, Any]:
    asked = [{"id": f"q{number}", "question": "Who?", **question} for number, question in enumerate(questions)]
    return {"version": "x", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": asked}]}]}


def answer(text: Any, start: int) -> dict[str, Any]:
    return {"answers": [{"text": text, "answer_start": start}]}


@pytest.mark.parametrize("task", ["squad1", "squad2", "drcd", "cmrc2018"])
def test_answers_where_they_stand(task: str, tmp_path: Path) -> None:
    examples, skipped = read(task, tmp_path / "train.json", squad(answer("Bert", 9), answer("Bert", 23)))
    assert [example.answers for example in examples] == [(Answer("Bert", 9),), (Answer("Bert", 23),)]
    assert examples[0].name == "q0"
    assert examples[0].context == CONTEXT
    assert not skipped.counts


def test_an_answer_that_is_not_where_it_says_is_found_or_kept_for_scores(tmp_path: Path) -> None:
    asked = [answer("Bert", 10), answer("Bert", 20), answer("Carl", 3), answer("Bonn", -1)]
    examples, skipped = read("squad1", tmp_path / "train.json", squad(*asked))
    assert [example.answers[0].start for example in examples] == [9, 23, -1, 17]
    assert skipped.counts == {MOVED: 3, NOT_THERE: 1}
    assert skipped.examples[NOT_THERE] == [f"{tmp_path / 'train.json'}: question q2"]


@pytest.mark.parametrize(
    ("stated", "place"), [(0, 0), (1, 0), (2, 3), (3, 3), (4, 3), (5, 6), (6, 6), (99, 6), (-5, 0)]
)
def test_the_nearest_place(stated: int, place: int) -> None:
    assert place_of("ab", "ab-ab-ab", stated) == place
    assert place_of("x", "ab-ab-ab", stated) == -1


def test_questions_without_an_answer(tmp_path: Path) -> None:
    none = [{"answers": [], "is_impossible": True}, {"answers": []}, {"answers": [], "is_impossible": False}]
    wrong = {**answer("Bert", 9), "is_impossible": True}
    examples, skipped = read("squad2", tmp_path / "train.json", squad(answer("Bert", 9), *none, wrong))
    assert [(example.name, example.impossible) for example in examples] == [("q0", False), ("q1", True), ("q2", True)]
    assert sum(skipped.counts.values()) == 2
    examples, skipped = read("squad1", tmp_path / "train.json", squad(answer("Bert", 9), *none))
    assert len(examples) == 1
    assert skipped.counts["a question without an answer (the task squad2 takes those)"] == 2


def test_test_parts_without_answers_are_unlabelled(tmp_path: Path) -> None:
    examples, skipped = read("squad1", tmp_path / "test.json", squad({}))
    assert examples[0].answers == ()
    assert not examples[0].impossible
    assert not skipped.counts


def test_cmrc_in_its_own_form_with_numbers_for_answers(tmp_path: Path) -> None:
    asked = [
        {"query_text": "几年？", "query_id": "A", "answers": [1994, "1994年"]},
        {"query_text": "多少？", "query_id": "B", "answers": [3.50]},
        {"query_text": "", "query_id": "C", "answers": ["1994"]},
    ]
    document = [{"context_id": "T", "context_text": "他1994年生，3.50元。", "qas": asked, "title": "题"}, "?"]
    text = json.dumps(document, ensure_ascii=False).replace("3.5]", "3.50]")
    examples, skipped = read("cmrc2018", tmp_path / "train.json", text)
    assert [example.answers for example in examples] == [(Answer("1994", 1), Answer("1994年", 1)), (Answer("3.50", 8),)]
    assert sum(skipped.counts.values()) == 2
    examples, _ = read("cmrc2018", tmp_path / "train.json", squad(answer(1994, 1), context="他1994年生"))
    assert examples[0].answers == (Answer("1994", 1),)


def test_parts_of_squad_that_are_missing_are_counted(tmp_path: Path) -> None:
    document = squad(
        answer("Bert", 9), {"id": "q0"}, {"question": 3}, {"answers": "x"}, answer("  ", 1), answer(None, 1)
    )
    document["data"] += [{}, 3, {"paragraphs": [{}, {"context": CONTEXT, "qas": [7]}]}]
    examples, skipped = read("squad1", tmp_path / "train.json", document)
    assert len(examples) == 1
    assert skipped.counts == {
        "a second question of the same id": 1,
        "a question without text or id": 1,
        "answers that are no list": 1,
        "answers without text": 2,
        "an article without paragraphs": 2,
        "a paragraph without context and questions": 1,
        "a question that is no JSON object": 1,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.json:1: not JSON"),
        ('{"data":\n [}', "train.json:2: not JSON"),
        ("[1, 2]", "no list 'data'"),
        ('{"data": 3}', "no list 'data'"),
        ("[" * 100_000, "train.json: not JSON that can be read"),
    ],
)
@pytest.mark.parametrize("task", ["squad1", "cmrc2018"])
def test_documents_that_are_none(task: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(task, tmp_path / "train.json", text)


def test_a_document_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(b'{"data": [],\n"x": "\xff"}')
    with pytest.raises(UsageError, match=r"train\.json:2: not UTF-8"):
        TASKS["squad1"].read(tmp_path / "train.json", Skipped())


def test_half_a_surrogate_leaves_every_character_in_its_place(tmp_path: Path) -> None:
    text = json.dumps(squad(answer("Bonn", 2), context="x\ud800Bonn"))
    examples, skipped = read("squad1", tmp_path / "train.json", text)
    assert examples[0].context == "x\ufffdBonn"
    assert not skipped.counts


def question(choices: Any, right: Any) -> dict[str, Any]:
    return {"question": "What?", "choice": choices, "answer": right}


@pytest.mark.parametrize("task", ["dream", "c3"])
def test_dialogues(task: str, tmp_path: Path) -> None:
    good = [question(["tea", "milk", "rum"], "milk"), question(["yes", "no"], "yes")]
    bad = [question(["tea"], "tea"), question(["tea", "rum"], "milk"), "What?"]
    document = [[["M: Tea?", "W: Milk."], [*good, *bad], "4-12"], [["x"], []], 5]
    examples, skipped = read(task, tmp_path / "train.json", document)
    assert examples == [
        ChoiceExample("4-12-0", "M: Tea?\nW: Milk.", "What?", ("tea", "milk", "rum"), 1),
        ChoiceExample("4-12-1", "M: Tea?\nW: Milk.", "What?", ("yes", "no"), 0),
    ]
    assert skipped.counts == {
        "no list of at least two choices": 2,
        "the answer is none of the choices": 1,
        "not [texts, questions, id]": 2,
    }
    with pytest.raises(UsageError, match="no JSON array"):
        read(task, tmp_path / "train.json", {"data": []})


def test_race(tmp_path: Path) -> None:
    passage = {
        "answers": ["B", "D", "E"],
        "options": [["a", "b", "c", "d"]] * 3,
        "questions": ["One?", "Two _ ?", "Three?"],
        "article": "First line.\n\nSecond  line.",
        "id": "high1.txt",
    }
    examples, skipped = read("race", tmp_path / "train" / "high" / "1.txt", passage)
    assert [(e.name, e.question, e.label) for e in examples] == [
        ("high1.txt-0", "One?", 1),
        ("high1.txt-1", "Two _ ?", 3),
    ]
    assert examples[0].context == "First line.\nSecond line."
    assert skipped.counts == {"the answer is none of the choices": 1}
    lines = "".join(f"{json.dumps(entry)}\n" for entry in (passage, {"article": "x"}, passage | {"answers": ["A"]}))
    examples, skipped = read("race", tmp_path / "train.jsonl", lines)
    assert len(examples) == 2
    assert sum(skipped.counts.values()) == 3
    with pytest.raises(UsageError, match="no JSON object"):
        read("race", tmp_path / "2.txt", [1])
