"""A model of sentence-pairs as transformers reads it: the vectors of its texts are ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from bertsmith.tasks.encoding import fitted, ids_of
from bertsmith.tasks.finetuning import finetune_once
from bertsmith.tasks.trained import load_trained
from bertsmith.tasks.vectors import text_vectors
from tests.tiny_tasks import alike, task_of, tiny_job, write_start

TEXTS = ["the cat sat", "a dog ran over it then", "home"]


def test_vectors_are_those_of_transformers(tmp_path: Path) -> None:
    made = tiny_job(task_of("similarity"), alike(24), alike(24), task_objective="cosine", epochs=1.0)
    finetune_once(made, write_start(tmp_path / "start"), tmp_path / "run")
    folder = tmp_path / "run" / "model"
    trained = load_trained(folder)
    ours = [fitted(trained.tokenizer, ids, None, 24)[0] for ids in ids_of(trained.tokenizer, TEXTS)]
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    read = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**read).last_hidden_state
    mask = read["attention_mask"][..., None]
    wanted = {"mean": (states * mask).sum(1) / mask.sum(1), "cls": states[:, 0]}
    for pooling in ("mean", "cls"):
        found = text_vectors(trained.model, ours, pooling)
        np.testing.assert_allclose(found, wanted[pooling].numpy(), rtol=0, atol=1e-5)
