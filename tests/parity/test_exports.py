"""Exported folders as transformers' automatic classes read them, and ONNX files beside these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertsmith.batch import Batch
from bertsmith.exporting import export
from bertsmith.exports.outputs import answer
from bertsmith.exports.probes import line_sequences
from bertsmith.models.config import TaskHead
from bertsmith.models.families.family import TASK_CLASSES
from bertsmith.models.folder import save_model
from bertsmith.tasks.forward import batches
from bertsmith.tasks.trained import Trained, load_trained
from tests.tiny_models import HEADS_OF_TASKS, heads_of, tiny_model
from tests.tiny_tasks import FAMILIES, KINDS, tokenizer_of


def write_model(folder: Path, family: str, task: TaskHead | None) -> Path:
    """A random model of a family with its pretraining heads, or with a task head."""
    folder.mkdir()
    tokenizer = tokenizer_of(KINDS[family])
    config = replace(FAMILIES[family], vocab_size=tokenizer.vocab_size)
    model = tiny_model(() if task else heads_of(config), config, task=task)
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 24)
    return folder


def asked(trained: Trained) -> list[Batch]:
    """Single lines, so that nothing is padded."""
    sequences = line_sequences(trained.tokenizer, trained.max_length)[:3]
    return [batch for sequence in sequences for _, batch in batches([sequence], torch.device("cpu"))]


def inputs_of(batch: Batch, shape: tuple[int, ...], types: bool) -> dict[str, Any]:
    ids = batch.token_ids.view(shape)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return given | ({"token_type_ids": batch.type_ids.view(shape)} if types else {})


@pytest.mark.parametrize("family", FAMILIES)
def test_masked_lm(family: str, tmp_path: Path) -> None:
    export(write_model(tmp_path / "model", family, None), "huggingface", tmp_path / "out")
    theirs: Any = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    trained = load_trained(tmp_path / "model")
    for batch in asked(trained):
        with torch.no_grad():
            found = theirs(**inputs_of(batch, (1, -1), family in ("bert", "albert"))).logits[0]
        assert torch.allclose(found, answer(trained.model, batch)[0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", HEADS_OF_TASKS.values(), ids=HEADS_OF_TASKS)
def test_task_heads(family: str, task: TaskHead, tmp_path: Path) -> None:
    export(write_model(tmp_path / "model", family, task), "huggingface", tmp_path / "out")
    kind = getattr(transformers, f"AutoModel{TASK_CLASSES[task.kind]}")
    theirs: Any = kind.from_pretrained(tmp_path / "out").eval()
    trained = load_trained(tmp_path / "model")
    for batch in asked(trained):
        shape = (1, 1, -1) if task.kind == "choice" else (1, -1)
        with torch.no_grad():
            found = theirs(**inputs_of(batch, shape, family in ("bert", "albert")))
        rows = [found.start_logits[0], found.end_logits[0]] if task.kind == "span" else [found.logits]
        expected = answer(trained.model, batch)
        for row, ours in zip(rows, expected, strict=True):
            assert torch.allclose(row.reshape(ours.shape), ours, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_gives_what_their_class_gives_for_texts_of_their_tokenizer(family: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = write_model(tmp_path / "model", family, None)
    export(model, "onnx", tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs: Any = transformers.AutoModelForMaskedLM.from_pretrained(model).eval()
    told = {"return_token_type_ids": True} if family in ("bert", "albert") else {}
    inputs = tokenizer(["the cat sat", "on a mat they went home"], padding=True, return_tensors="pt", **told)
    with torch.no_grad():
        expected = theirs(**inputs).logits[inputs["attention_mask"].bool()]
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    feeds = {given.name: inputs[given.name].numpy() for given in session.get_inputs()}
    (found,) = session.run(["logits"], feeds)
    assert np.abs(found[inputs["attention_mask"].bool().numpy()] - expected.numpy()).max() < 1e-4
