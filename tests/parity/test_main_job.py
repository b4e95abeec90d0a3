"""A trained folder in transformers' own classes: the same answers as ours, casing and lengths included."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForNextSentencePrediction, AutoTokenizer

from bertsmith.serving.predictor import Predictor
from tests.main_job import MainJob, main_job

__all__ = ["main_job"]


def test_auto_classes_fill_masks_as_we_do(main_job: MainJob) -> None:
    folder = main_job.run / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    text = "My sister reads [MASK] at [MASK] ."
    ours = Predictor.load(main_job.run).fill_mask(text, top_k=5)
    encoded = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**encoded).logits[0]
    places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
    for candidates, place in zip(ours, places.tolist(), strict=True):
        scores, ids = logits[place].softmax(-1).topk(5)
        assert [c["token_id"] for c in candidates] == ids.tolist()
        assert [c["score"] for c in candidates] == pytest.approx(scores.tolist(), abs=1e-5)
        assert [c["token"] for c in candidates] == tokenizer.convert_ids_to_tokens(ids.tolist())


def test_auto_classes_judge_pairs_as_we_do(main_job: MainJob) -> None:
    folder = main_job.run / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForNextSentencePrediction.from_pretrained(folder).eval()
    pairs = [("the cat eats fish .", "the cat sees stars ."), ("a bird sees hills .", "our teacher reads maps .")]
    for pair, ours in zip(pairs, Predictor.load(folder).next_sentence(pairs), strict=True):
        with torch.inference_mode():
            logits = model(**tokenizer(*pair, return_tensors="pt")).logits[0]
        assert ours["is_next"] == pytest.approx(float(logits.softmax(-1)[0]), abs=1e-5)


def test_the_tokenizer_truncates_where_training_did(main_job: MainJob) -> None:
    tokenizer = AutoTokenizer.from_pretrained(main_job.run / "model")
    assert tokenizer.model_max_length == Predictor.load(main_job.run).max_length == 64
    assert len(tokenizer("cat " * 500, truncation=True)["input_ids"]) == 64
