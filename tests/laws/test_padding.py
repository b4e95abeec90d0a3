"""No padding outside attention: a sequence alone and in a batch gives the same output."""

from __future__ import annotations

import pytest
import torch

from bertsmith.batch import flat_batch
from bertsmith.models.layers import AttentionFunction, batched_attention, fused_attention
from tests.tiny_models import gradient, random_batch, tiny_model


@pytest.mark.parametrize("attend", [batched_attention, fused_attention])
@pytest.mark.parametrize("lengths", [(5, 5, 5), (1, 20, 7, 3), (24, 2)])
def test_a_sequence_alone_and_in_a_batch_gives_the_same(lengths: tuple[int, ...], attend: AttentionFunction) -> None:
    model = tiny_model().eval()
    model.encoder.attention = attend
    batch = random_batch(lengths)
    together = model(batch)
    assert together.pooled is not None
    parts = zip(batch.token_ids.split(lengths), batch.type_ids.split(lengths), lengths, strict=True)
    states = together.hidden_states.split(lengths)
    for number, (token_ids, type_ids, length) in enumerate(parts):
        alone = model(flat_batch(token_ids, type_ids, torch.tensor([length])))
        torch.testing.assert_close(alone.hidden_states, states[number], rtol=0, atol=1e-5)
        torch.testing.assert_close(alone.pooled[0], together.pooled[number], rtol=0, atol=1e-5)


def test_other_sequences_have_no_gradient() -> None:
    model = tiny_model().eval()
    lengths = (4, 9, 6)
    batch = random_batch(lengths)
    model(batch).hidden_states.split(lengths)[1].square().sum().backward()
    touched = gradient(model.encoder.embeddings.words.weight).abs().sum(1).nonzero().view(-1)
    assert set(touched.tolist()) == set(batch.token_ids.split(lengths)[1].tolist())
