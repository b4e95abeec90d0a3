"""The padded model against our flat one: every family, every head, every shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bertsmith.exports.outputs import answer, largest_difference, outputs_of
from bertsmith.exports.padded import Padded
from bertsmith.exports.probes import BATCHES, LINES, Shape, line_sequences, shapes, text_lines
from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import Model
from tests.stories import tiny_tokenizer
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, TINY, heads_of, tiny_model

POSITIONS = TINY.max_positions
CHOICES = 3


def padded_inputs(padded: Padded, shape: Shape, choices: int = 1) -> list[Tensor]:
    """ids, mask and types of a shape, padded on the right with 0; types also where the model has none."""
    mask = torch.arange(shape.length) < shape.batch.lengths[:, None]
    grids = [torch.zeros(mask.shape, dtype=torch.int64) for _ in range(2)]
    ids, types = (grid.masked_scatter(mask, values) for grid, values in zip(grids, flat(shape), strict=True))
    several = (ids, mask.to(torch.int64), types)
    return [grid.view(-1, choices, shape.length) if padded.of_choices else grid for grid in several]


def flat(shape: Shape) -> tuple[Tensor, Tensor]:
    return shape.batch.token_ids, shape.batch.type_ids


def difference(model: Model) -> float:
    """The largest difference of the padded model to the flat one, over all shapes."""
    padded, worst = Padded(model).eval(), 0.0
    choices = CHOICES if padded.of_choices else 1
    for shape in shapes(model.config.vocab_size, model.config.token_types, POSITIONS, choices):
        inputs = padded_inputs(padded, shape, choices)
        mask = inputs[1].view(-1, shape.length).to(torch.bool)
        with torch.no_grad():
            found = padded(*inputs)
        rows = [
            scores[mask] if output.per_token else scores.reshape(-1) if padded.of_choices else scores
            for output, scores in zip(outputs_of(model), found, strict=True)
        ]
        worst = max(worst, largest_difference(rows, answer(model, shape.batch)))
    return worst


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_pretraining_heads_of_every_family(config: EncoderConfig) -> None:
    model = tiny_model(heads_of(config), config).eval()
    model.trained_heads = heads_of(config)
    assert difference(model) < 1e-5


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_encoder_alone_of_every_family(config: EncoderConfig) -> None:
    assert difference(tiny_model((), config).eval()) < 1e-5


@pytest.mark.parametrize("family", ["bert", "albert", "roberta", "distilbert"])
@pytest.mark.parametrize("task", HEADS_OF_TASKS.values(), ids=HEADS_OF_TASKS)
def test_task_heads_of_every_family(family: str, task: object) -> None:
    model = tiny_model((), FAMILIES[family], task=task).eval()  # type: ignore[arg-type]
    assert difference(model) < 1e-5


def test_outputs_have_the_names_other_tools_look_for() -> None:
    both = tiny_model().eval()
    both.trained_heads = ("masked_lm", "pair")
    assert [tuple(output) for output in outputs_of(both)] == [("logits", True), ("seq_relationship_logits", False)]
    span = tiny_model((), task=HEADS_OF_TASKS["span"])
    assert [output.name for output in outputs_of(span)] == ["start_logits", "end_logits"]
    assert [output.name for output in outputs_of(tiny_model(("pair",)))] == ["last_hidden_state", "pooler_output"]


@pytest.mark.parametrize(("family", "types"), [("bert", True), ("albert", True), ("roberta", False)])
def test_types_are_an_input_only_where_there_are_several(family: str, types: bool) -> None:
    inputs = Padded(tiny_model((), FAMILIES[family])).inputs
    assert inputs == ("input_ids", "attention_mask", *(("token_type_ids",) if types else ()))


def test_roberta_counts_positions_from_its_first_token() -> None:
    model = Padded(tiny_model((), FAMILIES["roberta"]).eval())
    ids = torch.tensor([[5, 6, 7]])
    padding = torch.zeros(1, 2, dtype=torch.int64)
    with torch.no_grad():
        (alone,) = model(ids, torch.ones_like(ids))
        (behind,) = model(torch.cat([padding, ids], 1), torch.tensor([[0, 0, 1, 1, 1]]))
    assert torch.allclose(behind[:, 2:], alone, atol=1e-6)


def test_a_row_of_padding_alone_spoils_nothing() -> None:
    model = Padded(tiny_model((), TINY).eval())
    ids = torch.tensor([[5, 6, 7], [0, 0, 0]])
    mask = torch.tensor([[1, 1, 1], [0, 0, 0]])
    with torch.no_grad():
        (states,) = model(ids, mask, torch.zeros_like(ids))
    assert states.isfinite().all()


def test_shapes_pad_and_reach_the_longest_position() -> None:
    found = list(shapes(97, 2, POSITIONS))
    assert len(found) == 9 and {len(shape.batch.lengths) for shape in found} == set(BATCHES)
    assert all(int(shape.batch.lengths.min()) < shape.length for shape in found)
    assert max(int(shape.batch.positions.max()) for shape in found) == POSITIONS - 1


def test_lines_are_those_that_the_tokenizer_reads() -> None:
    tokenizer = tiny_tokenizer()
    lines = text_lines(tokenizer)
    assert 0 < len(lines) < len(LINES)
    sequences = line_sequences(tokenizer, 12)
    assert len(sequences) == len(lines) and max(len(sequence.token_ids) for sequence in sequences) <= 12
