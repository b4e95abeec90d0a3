"""What `plan` finds: parameters, memory, operations and time of recipes, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bertsmith import console
from bertsmith.data.corpus import Corpus
from bertsmith.models.config import EncoderConfig
from bertsmith.training import budget
from bertsmith.training.cost import memory_of, operations_of, parameters_of
from bertsmith.training.device import Device, choose_fp32_backend, set_fp32_backend, set_up_cpu, supports_bf16
from bertsmith.training.environment import Settings, machine_facts
from bertsmith.training.measurement import BF16_GAIN, COMPILE_GAIN, COMPILE_PAYS_SECONDS, cost_of
from bertsmith.training.plan import PretrainingPlan, open_sources
from bertsmith.training.remembered import remembered
from bertsmith.training.student import check_fitting
from bertsmith.training.trial import StepTime, time_step


class Phase(NamedTuple):
    """One phase of a plan as a plan of its own, and the lengths of the sequences of one of its steps."""

    plan: PretrainingPlan
    lengths: Sequence[int]


def plan_run(plan: PretrainingPlan, corpus: Path | None, teacher: EncoderConfig | None = None) -> dict[str, Any]:
    """Parameters, memory, operations and time of one recipe; `corpus` gives the vocabulary and the real lengths.

    teacher: the encoder of its teacher, whose vocabulary is the student's where there is no corpus; None = what a
    teacher costs is left out. UsageError where the two do not fit.

    Returns name, parameters (see `parameters_of`), memory {part: bytes, total}, operations_per_token {part, total},
    precision, compiled, step_milliseconds, exact (whether that very step was timed), steps, tokens_per_step,
    tokens_per_second, and seconds of the whole budget; the last and steps are null where a budget in epochs lacks a
    corpus. Of a plan in two phases, memory is that of the larger and a step is their mean.
    """
    opened = Corpus.open(corpus) if corpus else None
    device = Device(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if opened is not None:
        training = budget.bounded(plan.training, opened.held_out, plan.longest)
        plan = replace(plan, model=replace(plan.model, vocab_size=opened.vocab_size), training=training)
    if teacher is not None:
        words = opened.vocab_size if opened else teacher.vocab_size  # more rows than the student's are never read
        plan = replace(plan, model=replace(plan.model, vocab_size=words))
        teacher = replace(teacher, vocab_size=words)
        check_fitting(plan.model, teacher, plan.objectives.distillation, plan.longest)
    plan.check()
    sources = open_sources(plan, opened, device, None) if opened else []
    phases = [
        Phase(one, [n for batch in sources[i].step(0) for n in batch.lengths.tolist()] if sources else _lengths(one))
        for i, one in enumerate(plan.phases)
    ]
    settings, times = _time(phases, device, teacher)
    memories = [memory_of(phase.plan, settings.precision, _fill(phase), teacher) for phase in phases]
    shares = plan.long_phase.shares
    of_phases = [time.seconds for time in times]
    seconds = sum(part * second for part, second in zip(shares, of_phases, strict=True))
    timed = sum(part * sum(phase.lengths) for part, phase in zip(shares, phases, strict=True))
    tokens = sum(part * budget.tokens_per_step(one) for part, one in zip(shares, sources, strict=False)) or timed
    steps = _steps(plan, sources, of_phases, tokens)
    validating = budget.validation_seconds(plan.training, plan.long_phase, steps or 0, of_phases)
    return {
        "name": plan.recipe_name,
        "parameters": parameters_of(plan.model, plan.heads),
        "memory": max(memories, key=lambda memory: memory["total"]),
        "operations_per_token": operations_of(plan, teacher),
        "precision": settings.precision,
        "compiled": settings.compiled,
        "step_milliseconds": 1000 * seconds,
        "exact": all(time.exact for time in times),
        "steps": steps,
        "tokens_per_step": round(tokens),
        "tokens_per_second": timed / seconds,
        "seconds": None if steps is None else steps * seconds + validating,
    }


def _lengths(plan: PretrainingPlan) -> list[int]:
    """Made-up lengths of one global batch: full sequences, and as many of a random length as the cut draws short."""
    count, length = plan.training.batch_size, plan.cut.length
    short = round(count * plan.cut.short_probability) if plan.cut.makes_pairs else 0
    return [length] * (count - short) + [max(8, length * (i + 1) // (short + 1)) for i in range(short)]


def _fill(phase: Phase) -> float:
    return sum(phase.lengths) / (len(phase.lengths) * phase.plan.cut.length)


def _time(phases: Sequence[Phase], device: Device, teacher: EncoderConfig | None) -> tuple[Settings, list[StepTime]]:
    """What the run would settle on this machine, and the time of a step of each phase."""
    plan, training = phases[0].plan, phases[0].plan.training
    threads = set_up_cpu(training.threads, 1)
    machine = [machine_facts(device.torch_device), threads, 1]
    backend = remembered("fp32_backend", machine, lambda: choose_fp32_backend(device.torch_device), device)
    set_fp32_backend(backend)
    settings = Settings(0, "fp32", False, backend, threads, 1)
    known: dict[Settings, StepTime] = {}

    def first(**changes: Any) -> StepTime:
        changed = replace(settings, **changes)
        if changed not in known:
            known[changed] = time_step(plan, changed, phases[0].lengths, teacher)
        return known[changed]

    def faster() -> str:
        if not supports_bf16(device.torch_device):
            return "fp32"
        halved = first(precision="bf16")
        if not halved.exact:  # wide products: bf16 pays wherever the processor has it
            return "bf16"
        return "bf16" if first(precision="fp32").seconds >= BF16_GAIN * halved.seconds else "fp32"

    circumstances = [machine, cost_of(plan)]
    precision = training.precision
    if precision == "auto":
        precision = remembered("precision", circumstances, faster, device)
    compiled = training.compile == "on" or (training.compile == "auto" and _compiles(first, precision, phases[0]))
    settings = replace(settings, precision=precision, compiled=compiled)
    if first().exact:
        return settings, [first(), *(time_step(phase.plan, settings, phase.lengths, teacher) for phase in phases[1:])]
    work = [operations_of(phase.plan, teacher)["total"] * sum(phase.lengths) for phase in phases]
    return settings, [StepTime(first().seconds * one / work[0], False) for one in work]


def _compiles(first: Any, precision: str, phase: Phase) -> bool:
    """Whether the run would compile: it is long, and compiled steps are faster where they can be timed here."""
    training = phase.plan.training
    eager: StepTime = first(precision=precision)
    unit, amount = training.budget
    seconds = {"steps": amount * eager.seconds, "minutes": amount * 60, "tokens": 0.0, "epochs": 0.0}[unit]
    if unit == "tokens":
        seconds = amount / sum(phase.lengths) * eager.seconds
    if seconds < COMPILE_PAYS_SECONDS or not eager.exact:
        return False
    return eager.seconds >= COMPILE_GAIN * first(precision=precision, compiled=True).seconds


def _steps(plan: PretrainingPlan, sources: Sequence[Any], seconds: Sequence[float], tokens: float) -> int | None:
    unit, amount = plan.training.budget
    if sources or unit in ("steps", "minutes"):
        return budget.steps_for(plan.training, plan.long_phase, sources, seconds)
    return max(1, round(amount / tokens)) if unit == "tokens" else None


def render(recipes: Sequence[Mapping[str, Any]]) -> str:
    """The plans side by side, a recipe a column, and the formulas below."""
    names = [recipe["name"] for recipe in recipes]
    rows = [[label, *(show(recipe) for recipe in recipes)] for label, show in ROWS]
    blocks = [console.render_table("", rows, ["", *names])]
    for recipe in recipes:
        formulas = [[part.replace("_", " "), text] for part, text in recipe["parameters"]["formulas"].items()]
        blocks.append(console.render_table(recipe["name"], formulas, ["", ""]))
    return "\n\n".join(blocks)


def _part(name: str) -> Any:
    return lambda recipe: f"{recipe['parameters']['parts'].get(name, 0):,}"


def _operations(name: str) -> Any:
    return lambda recipe: console.count(recipe["operations_per_token"][name])


def _bytes(name: str) -> Any:
    return lambda recipe: console.size(recipe["memory"][name])


def _duration(recipe: Mapping[str, Any]) -> str:
    return "needs --corpus" if recipe["seconds"] is None else console.duration(recipe["seconds"])


ROWS = (
    ("parameters, trained", lambda recipe: f"{recipe['parameters']['total']:,}"),
    ("published encoder", lambda recipe: f"{recipe['parameters']['encoder']:,}"),
    ("  word embeddings", _part("word_embeddings")),
    ("  embedding mapping", _part("embedding_mapping")),
    ("  attention", _part("attention")),
    ("  feed-forward", _part("feed_forward")),
    ("  masked-LM head", _part("masked_lm_head")),
    ("saved by a small embedding", lambda recipe: f"{recipe['parameters']['saved_by_factorisation']:,}"),
    ("saved by sharing", lambda recipe: f"{recipe['parameters']['saved_by_sharing']:,}"),
    ("memory above the bare process", _bytes("total")),
    ("  weights", _bytes("weights")),
    ("  gradients", _bytes("gradients")),
    ("  moments of the optimiser", _bytes("moments")),
    ("  activations", _bytes("activations")),
    ("  working space", _bytes("working")),
    ("  kept by allocator and libraries", _bytes("reserve")),
    ("operations per token", _operations("total")),
    ("  of these for the vocabulary", _operations("vocabulary")),
    ("  of these for the teacher's layers", _operations("teacher")),
    ("numbers", lambda recipe: recipe["precision"] + (", compiled" if recipe["compiled"] else "")),
    ("a step", lambda recipe: console.duration(recipe["step_milliseconds"] / 1000)),
    ("  timed as it is", lambda recipe: "yes" if recipe["exact"] else "no, from smaller ones"),
    ("tokens a second", lambda recipe: console.count(recipe["tokens_per_second"])),
    ("tokens a step", lambda recipe: console.count(recipe["tokens_per_step"])),
    ("steps", lambda recipe: "" if recipe["steps"] is None else f"{recipe['steps']:,}"),
    ("the whole budget here", _duration),
)
