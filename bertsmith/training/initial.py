"""The weights before step 1: new ones from the seed, or those of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bertsmith import console, store
from bertsmith.batch import Batch
from bertsmith.data.corpus import Corpus
from bertsmith.data.mixture import MixedCorpus
from bertsmith.models.model import Model, build_model
from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.starting import load_starting_model
from bertsmith.training.student import chosen_layers, load_teacher, take_from_teacher
from bertsmith.training.validation import Baselines

MASKED_LM = "masked_lm"
CORPUS_SHARES = "set of corpus weights"  # among the inputs of a run that reads several corpora


def input_fingerprints(corpus: MixedCorpus, init: Path | None, teacher: Path | None = None) -> dict[str, str]:
    """What a run was started from: hashes of corpus, tokenizer, initial model ("" = none) and teacher, shares of
    corpora.
    """
    weights = "" if init is None else store.hash_file(Path(init) / "model.safetensors")
    inputs = {"corpus": corpus.fingerprint, "tokenizer": corpus.tokenizer.fingerprint, "initial model": weights}
    if teacher is not None:
        inputs["teacher"] = store.hash_file(Path(teacher) / "model.safetensors")
    if len(corpus.shares) > 1:
        inputs[CORPUS_SHARES] = " ".join(f"{share:.6f}" for share in corpus.shares)
    return inputs


def initial_model(
    plan: PretrainingPlan,
    corpus: Corpus | MixedCorpus,
    init: Path | None,
    probe: Callable[[], Sequence[Batch]] = lambda: [],
    teacher: Path | None = None,
) -> Callable[[], Model]:
    """A function that makes the model as it is before step 1, the same one each time.

    `probe` gives masked batches by which a head for masked tokens is judged: published folders may hold one that was
    never trained. `teacher`: whose layers a student starts from, where it has no `init`. UsageError naming the field
    when the folder's model or tokenizer is not what plan and corpus need.
    """
    if init is None and teacher is not None and plan.objectives.distillation.initial != "random":
        return _student_of(plan, corpus, teacher)
    if init is None:
        return lambda: _new_model(plan, corpus)
    given = load_starting_model(init, plan.model, corpus.tokenizer)
    taken = {name: parameter.detach() for name, parameter in given.named_parameters()}
    new = [head for head in plan.heads if head not in given.trained_heads]
    if new:
        console.say(f"{init} has no trained head {' or '.join(new)}: it starts from random weights")
    elif MASKED_LM in plan.heads and _is_random(given, probe(), Baselines(corpus)):
        new = [MASKED_LM]
        console.say(
            f"{init} restores hidden tokens no better than a guess from their frequency: its head masked_lm counts as "
            "untrained and starts from random weights"
        )

    def build() -> Model:
        model = _new_model(plan, corpus)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in taken and not any(name.startswith(f"heads.{head}.") for head in new):
                    parameter.copy_(taken[name])
        return model

    return build


def _student_of(plan: PretrainingPlan, corpus: Corpus | MixedCorpus, teacher: Path) -> Callable[[], Model]:
    distillation = plan.objectives.distillation
    given = load_teacher(teacher, corpus.tokenizer)
    shown = ", ".join(map(str, chosen_layers(distillation, plan.model.layers, given.config.layers)))
    console.say(f"the student starts from layers {shown} of {teacher} (counted from 0)")

    def build() -> Model:
        model = _new_model(plan, corpus)
        take_from_teacher(model, given, distillation)
        return model

    return build


def _is_random(model: Model, batches: Sequence[Batch], baselines: Baselines) -> bool:
    """Whether the head for masked tokens is no better than token frequency; False where there is nothing to ask."""
    loss = unigram = 0.0
    objective = MaskedLM()
    model.eval()
    with torch.no_grad():
        for batch in batches:
            if objective.count(batch):
                loss += float(objective.score(model, model(batch), batch).loss)
                unigram += baselines.unigram_sum(batch.targets[MASKED_LM].labels)
    return loss >= unigram > 0


def _new_model(plan: PretrainingPlan, corpus: Corpus | MixedCorpus) -> Model:
    """Weights from the seed; the output bias zero as published, or where training would take it in its first steps."""
    model = build_model(plan.model, plan.heads, plan.seed)
    if plan.training.output_bias == "unigram" and MASKED_LM in plan.heads:
        counts = torch.from_numpy(corpus.token_counts()).double() + 1
        with torch.no_grad():
            model.masked_lm_head()[0].bias.copy_((counts / counts.sum()).log())
    return model
