"""compare: one row per model, each text apart, any tokenizer beside any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.errors import UsageError
from bertsmith.models.folder import save_model
from bertsmith.models.model import Model
from bertsmith.report import comparison
from bertsmith.report.bars import Bar, bar_plot
from bertsmith.report.comparison import Questions, compare_models
from bertsmith.report.comparison_table import render, table, table_of_shares, write_comparison
from bertsmith.report.quality_kept import Quality, kept
from bertsmith.report.size_and_speed import bytes_of_forward, bytes_of_weights
from bertsmith.tasks.forward import single
from bertsmith.tasks.masked_lm import evaluate_masked_lm
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.stories import story, tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No note that the machine is busy."""
    monkeypatch.setattr(comparison, "DISTURBED", float("inf"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of different tokenizers, on disk."""
    folder, tokenizer = tmp_path_factory.mktemp("models"), tiny_tokenizer()
    kept = [token for token in tokenizer.tokens if token not in ("cat", "dog", "night")]
    return [
        write(folder / "words", tiny_model(tokenizer), tokenizer),
        write(folder / "letters", tiny_model(fewer := WordPieceTokenizer(kept, lowercase=True), seed=1), fewer),
    ]


def write(folder: Path, model: Model, tokenizer: Tokenizer, length: int = 64) -> str:
    folder.mkdir()
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, length)
    return str(folder)


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
    page = write_comparison(result, tmp_path / "out").read_text()
    assert page.count("<svg") == len(headings) - 1
    assert "http://" not in page and "https://" not in page


def test_without_text_there_is_size_and_speed(models: list[str]) -> None:
    result = compare_models(models[:1], Questions({}, [], 0))
    (only,) = result["models"]
    sizes = {"parameters", "megabytes", "memory_megabytes", "forward_megabytes", "milliseconds"}
    assert set(only) == sizes | {"name", "threads", "busy_cores"}
    assert table(result)[0] == ["model", "parameters", "MB on disk", "MB in memory", "MB forward", "ms/sentence"]
    assert render(result).count("\n") == 2


def test_other_tokenizers_share_no_accuracy(models: list[str]) -> None:
    result = compare_models(models, QUESTIONS)
    first, second = result["models"]
    assert "kept" not in first and set(second["kept"]) == {"minimal_pairs"}
    assert second["bits_per_character"] > 0
    (note,) = result["notes"]
    assert note.startswith(f"{models[1]} has another tokenizer than {models[0]}")
    assert note in render(result)
    assert second["parameters_share"] == second["parameters"] / first["parameters"]
    assert second["time_share"] == second["milliseconds"] / first["milliseconds"]


@pytest.fixture(scope="module")
def guessers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model that always says the commonest word of the stories, and one that always says another."""
    folder, tokenizer = tmp_path_factory.mktemp("guessers"), tiny_tokenizer()
    found = []
    for word in (".", "cat"):
        model = tiny_model(tokenizer)
        with torch.no_grad():
            model.masked_lm_head()[0].bias[tokenizer.tokens.index(word)] += 1e4
        found.append(write(folder / f"says {word}", model, tokenizer, length=64 if word == "." else 32))
    return found


def test_quality_is_kept_over_the_same_masks(guessers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    questions = Questions({"a": story(4), "b": story(3)}, [], 0)
    result = compare_models(guessers, questions)
    first, second = result["models"]
    tokens = [word for document in story(4) for line in document for word in line.split()]
    assert result["baselines"]["corpus"] == pytest.approx(tokens.count(".") / len(tokens))
    assert [first["masked"], first["texts"]["b"]["masked"]] == [second["masked"], second["texts"]["b"]["masked"]]
    assert result["notes"] == ["texts are read 32 tokens at a time: the most that every one of these models takes"]
    assert 0 < second["accuracy"] < first["accuracy"]
    share = second["accuracy"] / first["accuracy"]
    assert second["kept"]["corpus"] == {"raw": share, "above_baseline": None}
    assert second["kept"]["texts"]["a"] == second["kept"]["corpus"] != second["kept"]["texts"]["b"]
    monkeypatch.setattr(comparison, "commonest_token_share", lambda *_: 0.01)
    result = compare_models(guessers, questions)
    above = (second["accuracy"] - 0.01) / (first["accuracy"] - 0.01)
    assert result["models"][1]["kept"]["corpus"] == {"raw": share, "above_baseline": pytest.approx(above)}


def test_shares_stand_in_the_table_and_on_the_page(guessers: list[str], tmp_path: Path) -> None:
    result = compare_models(guessers, Questions({"a": story(4)}, [], 0))
    headings, (row,) = table_of_shares(result)
    second = result["models"][1]
    baseline = f"above {result['baselines']['corpus']:.1%}"
    assert headings == ["model", "parameters", "ms/sentence", "accuracy", baseline]
    assert row == [guessers[1], "100.0%", f"{second['time_share']:.1%}", f"{second['kept']['corpus']['raw']:.1%}", "–"]
    assert f"shares of {guessers[0]}" in render(result)
    page = write_comparison(result, tmp_path).read_text()
    assert f"{second['kept']['corpus']['raw']:.1%} kept; {baseline}: –" in page
    assert page.count('class="meter"') == 3


@pytest.mark.parametrize(
    ("value", "first", "error", "baseline", "raw", "above"),
    [
        (0.45, 0.5, 0.0, 0.4, 0.9, 0.5),
        (0.3, 0.5, 0.0, 0.4, 0.6, -1.0),  # worse than knowing nothing
        (0.45, 0.4, 0.0, 0.4, 1.125, None),  # the first one knows nothing either
        (0.45, 0.3, 0.0, 0.4, 1.5, None),
        (0.45, 0.5, 0.06, 0.4, 0.9, None),  # what the first one knows may be chance
        (0.45, 0.5, 0.04, 0.4, 0.9, 0.5),
        (0.45, 0.5, 0.0, None, 0.9, None),
        (0.45, 0.0, 0.0, 0.0, None, None),
        (0.45, -0.1, 0.0, 0.0, None, None),
    ],
)
def test_shares_of_quality(
    value: float, first: float, error: float, baseline: float | None, raw: float | None, above: float | None
) -> None:
    found = kept(Quality(value, 0.0, None), Quality(first, error, baseline))
    assert found == {"raw": pytest.approx(raw), "above_baseline": pytest.approx(above)}


def test_memory_is_that_of_weights_and_of_tensors_in_use_at_once() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    assert bytes_of_weights(model) == 4 * sum(parameter.numel() for parameter in model.parameters())
    short, long = (
        bytes_of_forward(model, [single(np.arange(5, 5 + length), tokenizer.special)] * 4) for length in (6, 38)
    )
    tokens = 4 * 40
    feed_forward = 4 * tokens * (32 + 2 * 128)  # bytes: the residual, and the inner states before and after activation
    assert feed_forward < long < 3 * feed_forward
    assert 4 * short < long
    scores = 4 * 4 * 2 * 40 * 40
    assert long > 2 * scores


def test_other_work_on_the_machine_is_told(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DISTURBED", -1.0)
    (note,) = compare_models(models[:1], Questions({}, [], 0))["notes"]
    assert note.endswith("cores busy while the models were timed")


def test_mistakes_are_told_before_anything_is_measured(models: list[str]) -> None:
    with pytest.raises(UsageError, match="is given twice"):
        compare_models([models[0], models[0] + "/"], QUESTIONS)
    with pytest.raises(UsageError, match="no such folder"):
        compare_models([models[0], "no/model"], QUESTIONS)


def test_bars_are_shares_of_the_largest_and_escaped() -> None:
    drawn = bar_plot([Bar("a<b", 1.0, "1"), Bar("c" * 40, 4.0, "4"), Bar("none", 0.0, "0")], "loss & co")
    assert 'width="87.5"' in drawn and 'width="350.0"' in drawn and 'width="0.0"' in drawn
    assert "a&lt;b" in drawn and "loss &amp; co" in drawn and "…" + "c" * 24 in drawn
