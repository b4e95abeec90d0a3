"""Law 3: accumulation and ranks change a step by rounding alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bertsmith.models.folder import load_model
from bertsmith.training.logs import read_metrics
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import bertsmith, pretrain_arguments, tiny_plan, without_dropout, write_recipe


def assert_same_training(one: Path, other: Path) -> None:
    """Same samples (exact token and target counts show in accuracies and tokens), losses and weights to rounding."""
    lines = [[line for line in read_metrics(run / "metrics.jsonl") if "loss" in line] for run in (one, other)]
    assert len(lines[0]) == len(lines[1]) == 6
    for a, b in zip(*lines, strict=True):
        assert a["tokens"] == b["tokens"]
        for name in ("masked_lm_loss", "pair_loss", "gradient_norm"):
            assert a[name] == pytest.approx(b[name], rel=2e-5)
    weights = [dict(load_model(run / "model").named_parameters()) for run in (one, other)]
    for name, parameter in weights[0].items():
        torch.testing.assert_close(parameter, weights[1][name], atol=2e-5, rtol=1e-4)


# epsilon far above the gradients' rounding: Adam divides by their root mean square, which would blow it up
PLAIN = {"optimizer": "adamw", "epsilon": 1e-3}


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_micro_batches(corpus: Path, tmp_path: Path, micro_batch: int) -> None:
    """8 = 2 x 4 = 3 + 3 + 2: mask counts are uneven, so a mean of means would differ."""
    pretrain(without_dropout(tiny_plan(**PLAIN)), corpus, tmp_path / "whole")
    pretrain(without_dropout(tiny_plan(**PLAIN, micro_batch=micro_batch)), corpus, tmp_path / "parts")
    assert_same_training(tmp_path / "whole", tmp_path / "parts")


def test_two_ranks(corpus: Path, tmp_path: Path) -> None:
    """Under torchrun with gloo: one run folder, one line of result, the weights of a single process."""
    plan = without_dropout(tiny_plan(**PLAIN))
    recipe = write_recipe(tmp_path / "recipe.toml", plan)
    done = bertsmith(*pretrain_arguments(recipe, corpus, tmp_path / "two", "--json"), torchrun=2)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 6
    pretrain(plan, corpus, tmp_path / "one")
    assert_same_training(tmp_path / "one", tmp_path / "two")
