"""What cannot be studied, found before anything is trained."""

from __future__ import annotations

from typing import Any

from bertsmith.data.corpus import Corpus
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.studies.design import Design, Run
from bertsmith.studies.metrics import OF_A_VOCABULARY
from bertsmith.training.student import check_fitting


def check_design(design: Design) -> None:
    """UsageError, a line for each corpus, arm and claim that cannot be as the study says."""
    _check_names(design)
    mistakes = _mistakes_of_arms(design) or _mistakes_of_claims(design)
    if mistakes:
        raise UsageError("\n".join(f"{design.study.path}: {mistake}" for mistake in mistakes))


def _check_names(design: Design) -> None:
    """UsageError for a corpus with a name that no arm takes: it is mistyped, and an arm would get another one."""
    taken = sorted({name for arm in design.study.arms for name in (arm.corpus, arm.prefers) if name})
    told = f"those of {design.study.name} take {', '.join(taken)}" if taken else "give the folder alone"
    unknown = [name for name in design.corpora if name and name not in taken]
    if unknown:
        raise UsageError("\n".join(f"--corpus {name}=: no arm takes one of that name; {told}" for name in unknown))


def _mistakes_of_arms(design: Design) -> list[str]:
    """A line for each thing that arms cannot be; it names them, unless it is so of all."""
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    for arm in design.study.arms:
        try:
            run = design.run(arm, seed=0)
            _check_teaching(run)
            if arm.rates:
                _check_validation(design.opened(arm))
        except BertsmithError as error:
            for line in str(error).split("\n"):
                found.setdefault(line.removeprefix(f"{design.recipe_of(arm)}: "), []).append(arm.name)
            continue
        other = first.setdefault(run.fingerprint, arm.name)
        if other != arm.name:
            found.setdefault(f"is the same as arm {other}: nothing that they set differs", []).append(arm.name)
    every = len(design.study.arms)
    return [line if len(arms) == every else f"arm {', '.join(arms)}: {line}" for line, arms in found.items()]


def _check_teaching(run: Run) -> None:
    """UsageError where an arm and its teacher do not fit, as `pretrain` would find it when its turn comes."""
    objectives = run.plan.objectives
    if run.teacher is None:
        if objectives.distils:
            raise UsageError("objectives.use has distillation; give the arm a teacher")
        return
    if not objectives.distils:
        raise UsageError("has a teacher and a recipe that distils nothing; choose a distil recipe")
    check_fitting(run.plan.model, run.teacher.plan.model, objectives.distillation, run.plan.longest)


def _check_validation(corpus: Corpus) -> None:
    """UsageError where a rate cannot be chosen, for want of a part to choose it by."""
    if not corpus.held_out:
        raise UsageError(
            f"tries rates, and {corpus.folder} has no validation part to choose one by; prepare it with"
            " text.validation_share above 0"
        )


def _mistakes_of_claims(design: Design) -> list[str]:
    found = []
    for claim in design.study.claims:
        arms = [design.study.arm(name) for name in (claim.better, claim.worse)]
        if claim.metric in OF_A_VOCABULARY and len({design.tokenizer_of(arm) for arm in arms}) > 1:
            found.append(
                f"claim {claim.better} > {claim.worse}: {claim.metric} does not compare between tokenizers; use"
                " bits_per_character"
            )
    return found


def check_held_out(design: Design) -> None:
    """UsageError where an arm may have been trained on the text by which all are judged, the validation part of the
    first corpus: a document is held out by its sentences, the seed and the share alone.
    """
    first, *others = design.opened_corpora.values()
    rule, share = _how_held_out(first)
    for other in others:
        own_rule, own_share = _how_held_out(other)
        if own_rule != rule or own_share < share:
            raise UsageError(
                f"{other.folder}: may hold the text by which all are judged, the validation part of {first.folder}: it"
                " was prepared with another seed or text.sentences, or a smaller text.validation_share; give a text"
                " with --valid"
            )


def _how_held_out(corpus: Corpus) -> tuple[list[Any], float]:
    """What decides whether a document is held out of a corpus: how it was read and the seed; then the share."""
    request = corpus.details["request"]
    return [request[key] for key in ("seed", "text.field", "text.sentences")], request["text.validation_share"]
