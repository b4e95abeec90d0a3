"""Texts as vectors: the states of an encoder, pooled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from bertsmith.data.sequences import TokenSequence
from bertsmith.models.model import Model
from bertsmith.models.pooling import Pooling, pool
from bertsmith.tasks.forward import batches, device_of


def text_vectors(model: Model, sequences: Sequence[TokenSequence], pooling: Pooling) -> npt.NDArray[np.float32]:
    """The vector of each sequence, in their order, not normalised: (sequences, hidden)."""
    found = np.zeros((len(sequences), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for chosen, batch in batches(sequences, device_of(model)):
            found[chosen] = pool(model(batch).hidden_states, batch.lengths, pooling).cpu().numpy()
    return found
