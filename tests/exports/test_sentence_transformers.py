"""Folders for sentence-transformers, read by sentence-transformers itself."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from bertsmith.exporting import export
from bertsmith.exports.probes import line_sequences, text_lines
from bertsmith.models.folder import save_model
from bertsmith.models.pooling import Pooling
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.trained import TaskSettings, load_trained, write_settings
from bertsmith.tasks.vectors import text_vectors
from tests.stories import tiny_model, tiny_tokenizer
from tests.tiny_tasks import FAMILIES, write_start

sentence_transformers = pytest.importorskip("sentence_transformers")


def pretrained(folder: Path) -> Path:
    """BERT with a pooler, which is in the folder then."""
    folder.mkdir()
    tokenizer = tiny_tokenizer()
    save_model(tiny_model(tokenizer), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 32)
    return folder


@pytest.mark.parametrize("family", [*FAMILIES, "bert with a pooler"])
@pytest.mark.parametrize(("pooling", "normalize"), [("mean", False), ("cls", True)])
def test_it_loads_without_a_warning_and_gives_our_vectors(
    family: str,
    pooling: Pooling,
    normalize: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = write_start(tmp_path / "start", family) if family in FAMILIES else pretrained(tmp_path / "start")
    config = TaskConfig(pooling=pooling, normalize=normalize)
    write_settings(start, TaskSettings("sentence-pairs", "similarity", (), ("spearman",), config))
    assert export(start, "sentence-transformers", tmp_path / "out")["largest_difference"] <= 1e-5
    capfd.readouterr()
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        model = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    assert not caplog.records and "MISSING" not in (said := capfd.readouterr().err) and "UNEXPECTED" not in said
    trained = load_trained(start)
    expected = text_vectors(trained.model, line_sequences(trained.tokenizer, trained.max_length), pooling)
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = model.encode(text_lines(trained.tokenizer), show_progress_bar=False)
    assert np.abs(found - expected).max() < 1e-5
    assert model.max_seq_length == trained.max_length
