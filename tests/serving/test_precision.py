"""Models made ready to answer: every precision against fp32, on every family, and what happens where one is missing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.encoder import Encoder
from bertsmith.models.model import Model
from bertsmith.serving import kernels, layers, linear, precision, rows
from bertsmith.serving.engine import Precision, first_tokens_only, inference_model
from bertsmith.serving.layers import runs_of
from bertsmith.serving.precision import at_precision
from bertsmith.serving.predictor import Predictor
from bertsmith.tasks.trained import Trained
from tests.stories import tiny_tokenizer
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, TINY, heads_of, random_batch, tiny_model

LENGTHS = (7, 7, 7, 3, 1, 12, 12, 2)
CLOSE: dict[Precision, float] = {"fp32": 1e-5, "bf16": 0.02, "int8": 0.05}
"""Root mean square of differences as a share of that of the states; fp32: the largest difference."""

bf16 = pytest.mark.skipif(precision.supports_bf16(torch.device("cpu")) is False, reason="bf16 would be emulated")
EVERY: list[Any] = ["fp32", pytest.param("bf16", marks=bf16), "int8"]


def trained(model: Model) -> Trained:
    return Trained(Path("tiny"), model, tiny_tokenizer(), 24)


def error(found: torch.Tensor, wanted: torch.Tensor, kind: Precision) -> float:
    difference = (found - wanted).detach()
    if kind == "fp32":
        return float(difference.abs().max())
    return float(difference.square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_its_function(family: str, kind: Precision) -> None:
    config = FAMILIES[family]
    model = tiny_model(heads_of(config), config).eval()
    batch = random_batch(LENGTHS, config)
    with torch.inference_mode():
        wanted, found = model(batch), inference_model(model, kind)(batch)
    assert found.hidden_states.dtype == torch.float32
    assert error(found.hidden_states, wanted.hidden_states, kind) <= CLOSE[kind]
    if wanted.pooled is not None:
        assert error(found.pooled, wanted.pooled, kind) <= CLOSE[kind]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("task", HEADS_OF_TASKS)
def test_heads_read_it_as_they_read_the_trained_model(task: str, kind: Precision) -> None:
    model = tiny_model((), TINY, task=HEADS_OF_TASKS[task]).eval()
    ready, batch = inference_model(model, kind), random_batch([9] * 40 + [5] * 40)
    with torch.inference_mode():
        wanted, found = (one.task_logits(one(batch), batch) for one in (model, ready))
    assert error(found, wanted, kind) <= 2 * CLOSE[kind]
    if found.dim() == 2 and kind != "fp32":
        assert (found.argmax(-1) == wanted.argmax(-1)).float().mean() > 0.9
    assert ready.task is model.task and ready.heads is model.heads


@pytest.mark.parametrize("kind", EVERY)
def test_a_sequence_has_the_same_states_alone_and_in_a_batch(kind: Precision) -> None:
    ready = inference_model(tiny_model().eval(), kind)
    together, alone = random_batch([5, 5, 9]), random_batch([5])
    with torch.inference_mode():
        # int8 too: every token is quantised by itself; a product of another shape may round another way
        assert error(ready(together).hidden_states[:5], ready(alone).hidden_states, "fp32") <= (
            1e-5 if kind == "fp32" else 0.05
        )


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("task", ["labels", "number", "choice"])
@pytest.mark.parametrize("family", ["bert", "distilbert", "albert"])
def test_the_last_layer_may_answer_for_first_tokens_alone(family: str, task: str, kind: Precision) -> None:
    model = tiny_model((), FAMILIES[family], task=HEADS_OF_TASKS[task]).eval()
    ready, batch = inference_model(model, kind), random_batch(LENGTHS, FAMILIES[family])
    saving = first_tokens_only(ready)
    assert first_tokens_only(model) is model
    with torch.inference_mode():
        wanted, found = (one.task_logits(one(batch), batch) for one in (ready, saving))
        assert error(found, wanted, "fp32") <= (1e-5 if kind == "fp32" else 0.05)
        untouched = saving(batch).hidden_states[1]
        assert not untouched.any() and ready(batch).hidden_states[1].any()


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_every_activation(activation: Any, kind: Precision) -> None:
    model = tiny_model((), replace(TINY, activation=activation)).eval()
    batch = random_batch([6, 6])
    with torch.inference_mode():
        found = inference_model(model, kind)(batch).hidden_states
        assert error(found, model(batch).hidden_states, kind) <= CLOSE[kind]


def test_shared_weights_are_made_ready_once() -> None:
    ready = inference_model(tiny_model(("masked_lm",), FAMILIES["albert"]).eval(), "int8")
    first, second = ready.encoder.layers[0], ready.encoder.layers[1]
    assert isinstance(first, layers.ByteLayer) and isinstance(second, layers.ByteLayer)
    assert first.qkv is second.qkv


def test_training_is_left_as_it_was() -> None:
    model = tiny_model()
    before = [parameter.clone() for parameter in model.parameters()]
    inference_model(model, "int8")(random_batch([4]))
    assert type(model.encoder) is Encoder
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_runs_are_neighbours_of_equal_length() -> None:
    assert runs_of(torch.tensor(LENGTHS)) == [(0, 3, 7), (21, 1, 3), (24, 1, 1), (25, 2, 12), (49, 1, 2)]


# --- kernels ---


@pytest.mark.parametrize(("name", "approximate"), [("gelu", "none"), ("gelu_tanh", "tanh")])
def test_activations_are_close_to_torchs(name: str, approximate: str) -> None:
    states = torch.linspace(-12, 12, 4001).view(1, -1)
    row = states.numpy().copy()
    kernels._activate(row[0], kernels.POLYNOMIALS[name])
    wanted = F.gelu(states.double(), approximate=approximate).numpy()
    assert np.abs(row - wanted).max() < 5e-4
    rounded = states.bfloat16()
    layers.activate(rounded, name)
    assert float((rounded.double() - torch.from_numpy(wanted)).abs().max()) < 12 / 256


def test_rounding_is_that_of_torch() -> None:
    states = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 100
    target = torch.empty(1000, dtype=torch.bfloat16)
    kernels._round(states.numpy().view(np.uint32), rows.memory_of(target))
    assert torch.equal(target, states.bfloat16())


def test_bytes_are_nearest_and_rows_of_zeros_stay_zero() -> None:
    states = torch.randn(5, 33, generator=torch.Generator().manual_seed(0))
    states[3] = 0
    found = layers.Quantised(states)
    back = (found.bytes.float() - kernels.ZERO_POINT) * torch.from_numpy(found.scales)[:, None]
    assert (back - states).abs().max() <= states.abs().max() / 127 / 2 * 1.001
    assert torch.equal(back[3], states[3])


def test_rows_are_shared_out_to_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    states = torch.randn(203, 17, generator=torch.Generator().manual_seed(0))
    alone = layers.Quantised(states)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = layers.Quantised(states)
    assert torch.equal(alone.bytes, shared.bytes) and np.array_equal(alone.scales, shared.scales)


# --- private operators and what takes their place ---


class Refusing:
    """An operator that is there no more."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'_OpNamespace' object has no attribute {name!r}")


def wrong(*arguments: Any) -> torch.Tensor:
    return torch.zeros(linear.TRIED_ROWS, 48)


def test_a_missing_or_wrong_operator_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    example = nn.Linear(32, 48)
    assert linear.best_linear(example, torch.float32) is linear.reordered
    monkeypatch.setattr(linear, "reordered", lambda *arguments: wrong)
    assert linear.best_linear(example, torch.float32) is linear.plain
    monkeypatch.setattr(torch.ops, "onednn", Refusing())
    assert not linear.bytes_work(example)


def without_bytes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(precision, "bytes_work", lambda example: False)


def without_both(patch: pytest.MonkeyPatch) -> None:
    without_bytes(patch)
    patch.setattr(precision, "supports_bf16", lambda device: False)


@pytest.mark.parametrize(
    ("asked", "patch", "taken"),
    [("int8", without_bytes, "bf16"), ("int8", without_both, "fp32"), ("bf16", without_both, "fp32")],
)
def test_what_a_machine_lacks_gives_way_and_is_told(
    asked: Precision,
    patch: Callable[[pytest.MonkeyPatch], None],
    taken: Precision,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(precision, "supports_bf16", lambda device: True)
    patch(monkeypatch)
    assert at_precision(trained(tiny_model()), asked)[1] == taken
    assert f"{taken} takes its place" in capsys.readouterr().err


def seconds_of(*each: float) -> Callable[..., Any]:
    """Trials of these seconds and differences (fp32, bf16, int8)."""

    def trials(models: dict[Precision, Model], several: Any, rounds: int) -> Any:
        figures = zip(models.items(), zip(each[::2], each[1::2], strict=True), strict=True)
        return {name: precision.Trial(model, *own, 0.1) for (name, model), own in figures}

    return trials


@pytest.mark.parametrize(
    ("figures", "taken"),
    [
        ((3.0, 0.0, 2.0, 0.01, 1.0, 0.02), "int8"),
        ((3.0, 0.0, 2.0, 0.01, 1.0, 0.2), "bf16"),
        ((3.0, 0.0, 4.0, 0.01, 5.0, 0.02), "fp32"),
    ],
)
def test_auto_takes_the_fastest_that_is_close(
    figures: tuple[float, ...], taken: Precision, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision, "unavailable", lambda model, kind: "")
    monkeypatch.setattr(precision, "_try", seconds_of(*figures))
    assert at_precision(trained(tiny_model()), "auto")[1] == taken
    told = capsys.readouterr().err
    assert f"precision {taken} (" in told and "int8 is" in told and "5% is allowed" in told


def test_auto_measures_and_int8_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(TINY, vocab_size=tiny_tokenizer().vocab_size)
    model, taken = at_precision(trained(tiny_model(config=config)), "auto", ["the cat sat", "a dog ran over the hill"])
    assert taken in ("fp32", "bf16", "int8") and isinstance(model, Model)
    assert "precision" in capsys.readouterr().err
    at_precision(trained(tiny_model(config=config)), "int8", ["the cat sat"])
    assert "int8: hidden states differ from fp32 by" in capsys.readouterr().err


@pytest.mark.parametrize("kind", EVERY)
def test_threads_share_a_predictor_in_every_precision(kind: Precision) -> None:
    tokenizer = tiny_tokenizer()
    config: EncoderConfig = replace(TINY, vocab_size=tokenizer.vocab_size)
    one = trained(tiny_model((), config, task=TaskHead("sequence", ("bad", "good"))).eval())
    predictor = Predictor(one._replace(model=at_precision(one, kind)[0]))
    texts = [f"the {word} sat on a {word} {'very ' * n}" for n, word in enumerate("cat dog mat hill home".split())] * 4
    expected = [predictor.classify(text) for text in texts]
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(predictor.classify, texts)) == expected
