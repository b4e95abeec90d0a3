"""What a run is told about its learning rate, rows and pairs before step 1; nothing is changed by it."""

from __future__ import annotations

import math

import numpy as np

from bertsmith.data.mixture import Batches
from bertsmith.models.config import EncoderConfig
from bertsmith.training.config import TrainingConfig
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.work import spread_steps

PUBLISHED_WIDTH = 768  # from here on the published rates hold
LARGE_RATE = 5e-5  # above it a rate is one for new models at the published widths
LARGE_RATE_TIMES_WIDTH = 0.1  # narrower models take rates that grow as they narrow: 2e-3 at 128, 5e-4 at 512
LESSENED = 5  # google-research/bert, README: 1e-4 for a new model, 2e-5 to go on from a checkpoint
STEP_CHANGED = 2.0  # times the tokens of the recipe's step, or a part of them
ONE_SIDED = 0.7  # share of one answer from which on pairs teach little but that answer
SAMPLED_PAIRS = 1024
SHORT_ROWS = 32
LONG_PHASE = 0.2  # of the steps, after short rows
FEW_TOKENS = (1e6, 25e6)  # docs/results.md: below, short rows do not help yet; above, long ones manage by themselves


def advice_for_continuing(model: EncoderConfig, training: TrainingConfig) -> str:
    """One line where the rate is one for new models although training starts from trained weights, or ""."""
    large = LARGE_RATE if model.hidden_size >= PUBLISHED_WIDTH else LARGE_RATE_TIMES_WIDTH / model.hidden_size
    if training.learning_rate <= large:
        return ""
    lower = training.learning_rate / LESSENED
    return (
        f"training.learning_rate {training.learning_rate:g} is one for a new model: trained weights first lose what "
        "they know (BERT's authors take 1e-4 for a new model and 2e-5 to go on); try "
        f"--training.learning-rate {lower:.1g}"
    )


def advice_for_step(recipe: PretrainingPlan, chosen: PretrainingPlan) -> str:
    """One line where a step has by far more or fewer tokens than the recipe's and the rate is as it was, or ""."""
    times = chosen.training.batch_size * chosen.cut.length / (recipe.training.batch_size * recipe.cut.length)
    rate = chosen.training.learning_rate
    if rate != recipe.training.learning_rate or 1 / STEP_CHANGED < times < STEP_CHANGED:
        return ""
    scaled = rate * math.sqrt(times)
    return (
        f"a step has {times:g} times the recipe's tokens and training.learning_rate is as it was; with Adam the "
        f"rate usually goes with the square root of the batch, here {scaled:.1e} (RoBERTa: 1e-4 at 256, 7e-4 at 2,000, "
        "1e-3 at 8,000 sequences)"
    )


def advice_for_rows(plan: PretrainingPlan, steps: int) -> str:
    """One line where a new model has few tokens to learn from and only long rows to learn them in, or ""."""
    batch, length = plan.training.batch_size, plan.cut.length
    tokens = steps * batch * length
    few = FEW_TOKENS[0] <= tokens < FEW_TOKENS[1] and length >= 2 * SHORT_ROWS
    if not few or plan.long_phase.share or plan.objectives.distils or "masked_lm" not in plan.objectives.use:
        return ""
    return (
        f"about {tokens / 1e6:.0f}M tokens in rows of {length} teach a new model little more than how common tokens "
        f"are; short rows first get further: --cut.length {SHORT_ROWS} --training.batch-size "
        f"{batch * length // SHORT_ROWS} --long-phase.share {LONG_PHASE} --long-phase.length {length} "
        f"--long-phase.batch-size {batch}"
    )


def advice_for_pairs(source: Batches, length: int) -> str:
    """One line where most pairs of a source that has pairs have the same answer, as short sequences make them, or "".

    length: of a sequence, in tokens.
    """
    labels = [source.pair_labels(step) for step in spread_steps(source, SAMPLED_PAIRS)]
    share = float(np.concatenate(labels).mean())
    if share <= ONE_SIDED:
        return ""
    return (
        f"{share:.0%} of the pairs have a second segment of another document, not about half: many pieces of {length} "
        "tokens are a single sentence, which nothing follows; a larger cut.length, or --long-phase.share 0.3 "
        "--long-phase.length 128, has more true pairs"
    )
