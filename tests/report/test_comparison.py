"""compare: one row per model, each text apart, any tokenizer beside any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.errors import UsageError
from bertsmith.models.folder import save_model
from bertsmith.report.bars import Bar, bar_plot
from bertsmith.report.comparison import Questions, compare_models, render, table, write_comparison
from bertsmith.tasks.masked_lm import evaluate_masked_lm
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.stories import story, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of different tokenizers, on disk."""
    folder, tokenizer = tmp_path_factory.mktemp("models"), tiny_tokenizer()
    kept = [token for token in tokenizer.tokens if token not in ("cat", "dog", "night")]
    fewer = WordPieceTokenizer(kept, lowercase=True)
    for name, one, seed in (("words", tokenizer, 0), ("letters", fewer, 1)):
        (folder / name).mkdir()
        save_model(tiny_model(one, seed=seed), folder / name, pad_token_id=one.special.pad)
        one.save(folder / name, 64)
    return [str(folder / "words"), str(folder / "letters")]


QUESTIONS = Questions(
    {"old.txt": story(4), "new.txt": story(2, sentences=20)}, [MinimalPair("the cat sat", "cat the sat", "o", "f:1")], 0
)


def test_every_figure_is_that_of_the_verb_alone(models: list[str]) -> None:
    first, second = compare_models(models, QUESTIONS)["models"]
    tokenizer = tiny_tokenizer()
    alone = evaluate_masked_lm(tiny_model(tokenizer), tokenizer, story(2, sentences=20), 0, 64)
    for key in ("loss", "accuracy", "word_accuracy", "bits_per_character"):
        assert first["texts"]["new.txt"][key] == pytest.approx(alone[key], rel=1e-5)
        assert first[key] == first["texts"]["old.txt"][key]
    assert (first["name"], second["name"]) == tuple(models)
    assert first["parameters"] - second["parameters"] == 3 * (32 + 1)  # three words with a bias each
    assert first["megabytes"] == pytest.approx(Path(models[0], "model.safetensors").stat().st_size / 1e6)
    assert first["milliseconds"] > 0
    assert {first["minimal_pairs"], second["minimal_pairs"]} <= {0.0, 1.0}


def test_the_table_and_the_page_show_each_text_apart(models: list[str], tmp_path: Path) -> None:
    result = compare_models(models, QUESTIONS)
    headings, rows = table(result)
    assert {"loss, old.txt", "loss, new.txt", "bits/character, old.txt", "minimal pairs"} <= set(headings)
    assert all(len(row) == len(headings) for row in rows)
    assert render(result).count("\n") == 3
    page = write_comparison(result, tmp_path / "out").read_text()
    assert page.count("<svg") == 8
    assert "http://" not in page and "https://" not in page


def test_without_text_there_is_size_and_speed(models: list[str]) -> None:
    (only,) = compare_models(models[:1], Questions({}, [], 0))["models"]
    assert set(only) == {"name", "parameters", "megabytes", "milliseconds", "threads"}
    assert table({"models": [only]})[0] == ["model", "parameters", "MB", "ms/sentence"]


def test_mistakes_are_told_before_anything_is_measured(models: list[str]) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        compare_models([models[0], models[0] + "/"], QUESTIONS)
    with pytest.raises(UsageError, match="no such folder"):
        compare_models([models[0], "no/model"], QUESTIONS)


def test_bars_are_shares_of_the_largest_and_escaped() -> None:
    drawn = bar_plot([Bar("a<b", 1.0, "1"), Bar("c" * 40, 4.0, "4"), Bar("none", 0.0, "0")], "loss & co")
    assert 'width="87.5"' in drawn and 'width="350.0"' in drawn and 'width="0.0"' in drawn
    assert "a&lt;b" in drawn and "loss &amp; co" in drawn and "…" + "c" * 27 in drawn
