"""Law 9: every shipped recipe takes two steps, shrunk to a size that a test can afford."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertsmith.data.corpus import Corpus
from bertsmith.models.model import build_model
from bertsmith.recipe import Recipe, load_recipe, shipped
from bertsmith.training.device import Device
from bertsmith.training.environment import Settings
from bertsmith.training.initial import initial_model
from bertsmith.training.loop import steps
from bertsmith.training.plan import PretrainingPlan, batches_from, open_sources
from bertsmith.training.setup import build_state
from bertsmith.training.student import POSITIONS

LENGTH, LONG = 32, 64


def shrunk(recipe: Recipe, vocab_size: int) -> PretrainingPlan:
    """The recipe with every number small and every choice as it is; a second phase keeps one of the two steps."""
    narrow = min(recipe.model.embedding_size, 16)
    model = replace(
        recipe.model,
        vocab_size=vocab_size,
        hidden_size=32,
        embedding_size=narrow,
        layers=2,
        heads=2,
        max_positions=LONG,
    )
    micro_batch = 2 if recipe.training.micro_batch else 0
    training = replace(
        recipe.training, steps=2, epochs=0.0, batch_size=4, micro_batch=micro_batch, warmup=0.0, precision="fp32"
    )
    return PretrainingPlan(
        seed=0,
        model=model.resolved(),
        cut=replace(recipe.cut, length=LENGTH),
        masking=recipe.masking,
        objectives=recipe.objectives,
        training=training,
        long_phase=replace(recipe.long_phase, length=LONG, share=0.5 if recipe.long_phase.share else 0.0),
    )


@pytest.mark.parametrize("name", shipped())
def test_two_shrunk_steps(name: str, corpus: Path) -> None:
    text, alone = Corpus.open(corpus), Device(torch.device("cpu"))
    plan = shrunk(load_recipe(name), text.vocab_size)
    plan.check()
    settings = Settings(2, "fp32", False, "default", torch.get_num_threads(), 1)
    distils = plan.objectives.distils
    teacher = (lambda: build_model(replace(plan.model, layers=4), ("masked_lm",), 1)) if distils else None
    state, _ = build_state(plan, settings, initial_model(plan, text, None), alone, teacher)
    before = state.optimizer.masters.clone()
    ends = [1, 2] if plan.long_phase.share else [2]
    taken = list(steps(state, batches_from(open_sources(plan, text, alone, None), ends, 0, 0), plan.training, alone))
    assert [step.number for step in taken] == [1, 2]
    for step in taken:
        assert set(step.losses) == set(plan.objectives.use)
        assert all(math.isfinite(loss) and loss > 0 for loss in step.losses.values())
    changed = state.optimizer.views(state.optimizer.masters != before)
    still = {name for name, parameter in changed.items() if not parameter.any()}
    assert still == ({POSITIONS} if distils else set()), "every tensor is trained, but for the positions of a student"
    assert (taken[1].tokens > 4 * LENGTH) == bool(plan.long_phase.share)
