"""The demo's text and questions: from this Python's own documentation, the same each time, nothing held out learnt."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith import demo
from bertsmith.demo import Gathered, gather, prose, questions
from bertsmith.errors import BertsmithError


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    return gather(tmp_path_factory.mktemp("demo"))


@pytest.mark.slow
def test_the_same_text_is_gathered_each_time(gathered: Gathered, tmp_path: Path) -> None:
    again = gather(tmp_path)
    for first, second in zip(gathered, again, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_about_two_megabytes_are_gathered(gathered: Gathered) -> None:
    assert 1_000_000 < gathered.text.stat().st_size < 4_000_000
    assert gathered.held_out.stat().st_size > 30_000


def test_nothing_held_out_is_learnt(gathered: Gathered) -> None:
    learnt = set(gathered.text.read_text("utf-8").splitlines())
    held_out = [line for line in gathered.held_out.read_text("utf-8").splitlines() if line]
    assert len(held_out) > 200
    assert not learnt.intersection(held_out)


def test_only_sentences_of_a_docstring_are_kept() -> None:
    docstring = """Return the first item
    of a well-
    known list.

    >>> first([1, 2])
    1

    Example
    -------

    +-----+-----+
    | a   | b   |
    +-----+-----+

    Raises IndexError when the list is empty.
    """
    assert list(prose(docstring)) == [
        "Return the first item of a well-known list.",
        "Raises IndexError when the list is empty.",
    ]


def test_questions_come_from_held_out_documents_with_true_answers(gathered: Gathered) -> None:
    asked = questions(gathered, seed=3)
    held_out = gathered.held_out.read_text("utf-8")
    assert len(asked.hidden) == len(asked.pairs) == demo.ASKED
    for hidden in asked.hidden:
        assert hidden.text.count("[MASK]") == 1
        assert hidden.text.replace("[MASK]", hidden.word) in held_out
    for pair in asked.pairs:
        assert pair.is_next == any(f"{pair.first}{gap}{pair.second}" in held_out for gap in (" ", "\n"))
    assert {pair.is_next for pair in asked.pairs} == {True, False}
    assert questions(gathered, seed=3) == asked
    assert questions(gathered, seed=4) != asked


def test_a_python_without_sources_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.py").write_text('"""Only one docstring with a few words in it."""\n')
    (tmp_path / "broken.py").write_text("def (:\n")
    monkeypatch.setattr(demo.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(BertsmithError, match="carries only 42 characters of documentation"):
        gather(tmp_path)


def test_sources_are_parsed_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "danger.py").write_text(
        f'"""This module must never be imported by anyone."""\nopen({str(tmp_path / "ran")!r}, "w")\n'
    )
    monkeypatch.setattr(demo.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    monkeypatch.setattr(demo, "SMALLEST", 1)
    monkeypatch.setattr(demo, "HELD_OUT", 10**9)
    gathered = gather(tmp_path)
    assert gathered.text.read_text() == "This module must never be imported by anyone.\n"
    assert not (tmp_path / "ran").exists()


def test_the_closing_words_show_right_and_wrong_answers_alike() -> None:
    candidates = [{"token": "cat", "score": 0.5}, {"token": "dog", "score": 0.25}, {"token": "hill", "score": 0.125}]
    result = {
        "mlm": {"loss": 5.5, "unigram_loss": 6.25, "accuracy": 0.125, "word_accuracy": 0.0625},
        "pairs": {"accuracy": 0.75, "constant_accuracy": 0.625},
        "questions": {
            "hidden": [("the [MASK] sat", "cat"), ("a " * 60 + "[MASK] " + "b " * 60, "mat")],
            "pairs": [("One.", "Two.", True), ("One.", "Three.", True)],
        },
        "fillings": [[candidates], [candidates]],
        "judgements": [{"is_next": 0.75}, {"is_next": 0.25}],
        "report": "demo/run/report.html",
    }
    text = demo.render(result)
    assert (
        "5.50" in text
        and "6.25 by frequencies alone" in text
        and "6.2%" in text
        and "75.0%  62.5% by one answer" in text
    )
    lines = text.splitlines()
    assert any(line.startswith("✓  the [MASK] sat") and "cat 50%, dog 25%" in line for line in lines)
    assert any(line.startswith("✗  …") and "[MASK]" in line and "mat" in line for line in lines)
    assert any(line.startswith("✓  75%") for line in lines) and any(line.startswith("✗  25%") for line in lines)
    assert "demo/run/report.html" in text and "bertsmith pretrain" in text
