"""What models are judged by: names, directions and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bertsmith.console import duration


class Metric(NamedTuple):
    """title: as reports call it. lower: whether less is better. show: a value as text. cost: known without asking."""

    title: str
    lower: bool
    show: Callable[[float], str]
    cost: bool = False


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _share(value: float) -> str:
    return f"{value:.2%}"


METRICS: dict[str, Metric] = {
    "loss": Metric("loss of masked tokens", True, _nats),
    "accuracy": Metric("masked tokens right", False, _share),
    "word_loss": Metric("loss of words hidden whole", True, _nats),
    "word_accuracy": Metric("tokens of hidden words right", False, _share),
    "bits_per_character": Metric("bits per character", True, _nats),
    "next_sentence": Metric("next sentence right", False, _share),
    "sentence_order": Metric("sentence order right", False, _share),
    "minimal_pairs": Metric("minimal pairs right", False, _share),
    "parameters": Metric("parameters", True, lambda value: f"{value:,.0f}", True),
    "seconds": Metric("time", True, duration, True),
    "tokens_per_second": Metric("tokens/s", False, lambda value: f"{value:,.0f}", True),
    "peak_memory": Metric("peak memory", True, lambda value: f"{value / 1e9:.2f} GB", True),
}
OF_A_VOCABULARY = ("loss", "accuracy", "word_loss", "word_accuracy")
"""Those that count tokens: they compare between models of one tokenizer only."""

COUNTED = ("parameters",)
"""Those that are the same for every seed."""

TASK = "task "


def metric_of(name: str) -> Metric:
    """The metric of a name; "task sst2" is the first metric of that task."""
    return METRICS[name] if name in METRICS else Metric(name.removeprefix(TASK), False, lambda value: f"{value:.4f}")
