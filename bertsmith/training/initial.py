"""The weights before step 1: new ones from the seed, or those of a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from bertsmith import console, store
from bertsmith.data.corpus import Corpus
from bertsmith.data.mixture import MixedCorpus
from bertsmith.errors import UsageError
from bertsmith.models.folder import load_model
from bertsmith.models.model import Model, build_model
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.training.plan import PretrainingPlan

NOT_IN_WEIGHTS = frozenset({"dropout", "attention_dropout", "init_std"})


def input_fingerprints(corpus: MixedCorpus, init: Path | None) -> dict[str, str]:
    """What a run was started from: hashes of corpus, tokenizer and initial model ("" = none), shares of corpora."""
    weights = "" if init is None else store.hash_file(Path(init) / "model.safetensors")
    inputs = {"corpus": corpus.fingerprint, "tokenizer": corpus.tokenizer.fingerprint, "initial model": weights}
    if len(corpus.shares) > 1:
        inputs["set of corpus weights"] = " ".join(f"{share:.6f}" for share in corpus.shares)
    return inputs


def initial_model(plan: PretrainingPlan, corpus: Corpus | MixedCorpus, init: Path | None) -> Callable[[], Model]:
    """A function that makes the model as it is before step 1, the same one each time.

    UsageError naming the field when the folder's model or tokenizer is not what the plan and the corpus need.
    """
    if init is None:
        return lambda: _new_model(plan, corpus)
    given = load_model(init)
    for field in fields(given.config):
        found, wanted = getattr(given.config, field.name), getattr(plan.model, field.name)
        if found != wanted and field.name not in NOT_IN_WEIGHTS:
            raise UsageError(f"model.{field.name}: is {found} in {init} and {wanted} in the recipe; they must agree")
    if Tokenizer.load(init).tokens != corpus.tokenizer.tokens:
        raise UsageError(f"{init}: its vocabulary is not the corpus's; prepare the corpus with --tokenizer {init}")
    taken = given.state_dict()
    new = [head for head in plan.heads if head not in given.trained_heads]
    if new:
        console.say(f"{init} has no trained head {' or '.join(new)}: it starts from random weights")

    def build() -> Model:
        model = _new_model(plan, corpus)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in taken and not any(name.startswith(f"heads.{head}.") for head in new):
                    parameter.copy_(taken[name])
        return model

    return build


def _new_model(plan: PretrainingPlan, corpus: Corpus | MixedCorpus) -> Model:
    """Weights from the seed; the output bias zero as published, or where training would take it in its first steps."""
    model = build_model(plan.model, plan.heads, plan.seed)
    if plan.training.output_bias == "unigram" and "masked_lm" in plan.heads:
        counts = torch.from_numpy(corpus.token_counts()).double() + 1
        with torch.no_grad():
            model.masked_lm_head()[0].bias.copy_((counts / counts.sum()).log())
    return model
