"""A trained model made ready to answer in a precision: as asked for, or the fastest that stays close to fp32."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bertsmith import console
from bertsmith.batch import Batch
from bertsmith.models.layers import Layer
from bertsmith.models.model import Model
from bertsmith.serving.engine import Precision, inference_model
from bertsmith.serving.linear import bytes_work
from bertsmith.tasks.encoding import fitted, ids_of
from bertsmith.tasks.forward import batches, device_of
from bertsmith.tasks.trained import Trained
from bertsmith.training.device import supports_bf16

Auto = Literal["auto"]

TOLERANCE = 0.05
"""The most that hidden states may differ from those in fp32 where "auto" chooses: the root mean square of the
differences as a share of that of the states."""

ROUNDS = 4
FALL_BACKS: dict[Precision, tuple[Precision, ...]] = {"fp32": (), "bf16": ("fp32",), "int8": ("bf16", "fp32")}
LINES = (
    "The harbour was empty when we arrived.",
    "How long does the journey take, and what does it cost?",
    "She opened the window, looked at the rain for a while and decided to stay at home after all.",
    "In 1913 the company sold 42,000 bicycles; ten years later it had stopped making them altogether.",
    "Not good.",
    "The committee, which had met every Thursday since the beginning of the year, could not agree on the order of the"
    " questions, let alone on their answers, and so the decision was put off until after the holidays.",
    "Plants take up water through their roots and give most of it away through their leaves.",
    "If the door is locked, ask at the shop on the corner: they keep a spare key, or they know who has it.",
    "Its second album sounds like the first one played in a larger room.",
    "他们昨天下午在图书馆门口等了一个小时。",
    "这家公司去年的收入比前年增加了百分之十二，主要来自海外市场。",
    "The results were checked twice by different people on different machines, with the same outcome each time.",
)
"""What is read where the caller brings no lines: short and long, with words that most vocabularies know."""


class Trial(NamedTuple):
    """A precision tried on some lines. seconds: of one pass over them. difference: see TOLERANCE. largest: of all
    differences of hidden states."""

    model: Model
    seconds: float
    difference: float
    largest: float


def at_precision(
    trained: Trained, precision: Precision | Auto, lines: Sequence[str] = LINES
) -> tuple[Model, Precision]:
    """The model made ready to answer in a precision, and the precision that was taken.

    One that this machine does not have gives way to the next wider one, with a warning. "auto" measures those there
    are on `lines`, takes the fastest whose hidden states stay within TOLERANCE, and says what it found; of int8 it is
    said in any case how far it is from fp32.
    """
    model = trained.model
    if precision == "auto":
        return _fastest(trained, lines)
    taken = _there(model, precision)
    found = ready(model, taken)
    if taken == "int8":
        trial = _try({"fp32": model, "int8": found}, _batches(trained, lines), rounds=1)["int8"]
        console.say(f"int8: hidden states differ from fp32 by {_difference(trial)}")
    return found, taken


def _there(model: Model, precision: Precision) -> Precision:
    """The precision itself, or what takes its place."""
    reason = unavailable(model, precision)
    if not reason:
        return precision
    taken: Precision = next(other for other in FALL_BACKS[precision] if not unavailable(model, other))
    console.warn(f"{precision} {reason}; {taken} takes its place")
    return taken


def unavailable(model: Model, precision: Precision) -> str:
    """Why this machine does not have a precision; "" where it has."""
    device = device_of(model)
    if precision == "bf16" and not supports_bf16(device):
        return "is not native to this processor"
    if precision == "int8" and device.type != "cpu":
        return "is for CPUs"
    if precision == "int8":
        layer = model.encoder.layers[0]
        assert isinstance(layer, Layer), "a trained model, not one made ready before"
        return "" if bytes_work(layer.feed_forward.inner) else "has no working products of bytes here"
    return ""


def ready(model: Model, precision: Precision) -> Model:
    """The model in a precision that this machine has."""
    if device_of(model).type == "cpu":
        return inference_model(model, precision)
    return model if precision == "fp32" else copy.deepcopy(model).bfloat16()


def _fastest(trained: Trained, lines: Sequence[str]) -> tuple[Model, Precision]:
    there: list[Precision] = [p for p in FALL_BACKS if not unavailable(trained.model, p)]
    trials = _try({p: ready(trained.model, p) for p in there}, _batches(trained, lines), ROUNDS)
    close: list[Precision] = [p for p in there if trials[p].difference <= TOLERANCE]
    taken = close[int(np.argmin([trials[p].seconds for p in close]))]
    slowest = trials["fp32"].seconds
    figures = [
        f"{p} is {slowest / t.seconds:.2f} x as fast as fp32, off by {_difference(t)}" for p, t in trials.items()
    ]
    told = "; ".join(figures[1:]) or "there is no other here"
    console.say(f"precision {taken} ({told}; {TOLERANCE:.0%} is allowed)")
    return trials[taken].model, taken


def _difference(trial: Trial) -> str:
    return f"{trial.difference:.2%} (largest difference {trial.largest:.3f})"


def _batches(trained: Trained, lines: Sequence[str]) -> list[Batch]:
    several = [fitted(trained.tokenizer, ids, None, trained.max_length)[0] for ids in ids_of(trained.tokenizer, lines)]
    return [batch for _, batch in batches(several, device_of(trained.model))]


@torch.inference_mode()
def _try(models: dict[Precision, Model], several: Sequence[Batch], rounds: int) -> dict[Precision, Trial]:
    """Every model on all batches, in turns; the least seconds of the rounds, the first of which is not counted."""
    seconds = dict.fromkeys(models, float("inf"))
    found: dict[Precision, Tensor] = {}
    for turn in range(rounds + 1):
        for precision, model in models.items():
            started = time.perf_counter()
            found[precision] = torch.cat([model(batch).hidden_states.float().cpu() for batch in several])
            if turn:
                seconds[precision] = min(seconds[precision], time.perf_counter() - started)
    exact = found["fp32"]
    scale = float(exact.square().mean().sqrt())
    return {
        precision: Trial(
            model,
            seconds[precision],
            float((found[precision] - exact).square().mean().sqrt()) / scale,
            float((found[precision] - exact).abs().max()),
        )
        for precision, model in models.items()
    }
