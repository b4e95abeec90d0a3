"""README.md in the model folder: front matter that parses, figures, and a manifest that still holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.errors import BertsmithError
from bertsmith.report.model_card import write_card
from bertsmith.report.pretraining import write_report
from bertsmith.training.initial import CORPUS_SHARES
from tests.report.finished import Finished, make_run


def front_matter(text: str) -> dict[str, str]:
    _, matter, _ = text.split("---\n", 2)
    return dict(line.split(": ", 1) for line in matter.splitlines())


def test_the_card_says_what_the_hub_and_a_reader_need(tmp_path: Path, english: Path) -> None:
    text = write_card(make_run(tmp_path / "run", english, name="tiny"), english).read_text("utf-8")
    matter = front_matter(text)
    assert matter["library_name"] == "transformers" and matter["pipeline_tag"] == "fill-mask"
    assert "language" not in matter  # nothing is claimed that was not measured
    assert "AutoModelForMaskedLM" in text and "AutoModelForNextSentencePrediction" in text
    assert "0.75 below a unigram guess" in text and "at most 64 tokens" in text
    assert 'name = "tiny"' in text and "Trained from scratch" in text


def test_chinese_is_recognised_by_its_tokens(tmp_path: Path, chinese: Path) -> None:
    text = write_card(make_run(tmp_path / "run", chinese, use=("masked_lm",)), chinese).read_text("utf-8")
    assert front_matter(text)["language"] == "zh"
    assert "NextSentence" not in text


def test_every_corpus_of_a_mixture_is_described(tmp_path: Path, english: Path, chinese: Path) -> None:
    run = make_run(tmp_path / "run", english)
    record = run / "environment.json"
    values = json.loads(record.read_text())
    values["inputs"][CORPUS_SHARES] = "0.750000 0.250000"
    record.write_text(json.dumps(values))
    text = write_card(run, english, chinese).read_text("utf-8")
    assert f"Corpus {english.name}, 75% of every step" in text and f"Corpus {chinese.name}, 25% of every step" in text
    html = write_report(run, english, chinese).read_text("utf-8")
    assert f"on {english.name} and {chinese.name}<" in html


def test_the_manifest_names_the_card_and_the_weights_are_untouched(finished: Finished) -> None:
    model = finished.run / "model"
    weights = store.hash_file(model / "model.safetensors")
    path = write_card(*finished)
    assert path == model / "README.md"
    assert store.verify(model, "model") == {}
    assert store.hash_file(model / "model.safetensors") == weights
    before = (model / store.MANIFEST).stat().st_mtime_ns
    write_card(*finished)  # the same line again: nothing to do
    assert (model / store.MANIFEST).stat().st_mtime_ns == before


def test_a_damaged_model_gets_no_card(finished: Finished) -> None:
    with open(finished.run / "model" / "vocab.txt", "a") as file:
        file.write("more")
    with pytest.raises(BertsmithError, match="vocab.txt"):
        write_card(*finished)
