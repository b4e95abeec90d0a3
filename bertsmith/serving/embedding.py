"""Texts as vectors, and how alike two texts are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from bertsmith.console import warn_of
from bertsmith.data.sequences import TokenSequence
from bertsmith.models.pooling import Pooling
from bertsmith.serving.texts import clean_pair, clean_text
from bertsmith.tasks.encoding import fitted, ids_of
from bertsmith.tasks.evaluation import longest_sequence
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.forward import read_ahead
from bertsmith.tasks.trained import Trained
from bertsmith.tasks.vectors import text_vectors

SHORTEST = 1e-12  # of a vector that something is divided by
Vectors = npt.NDArray[np.float32]


class Similarity(TypedDict):
    """The cosine of two texts, or the value of a regression head."""

    score: float


def embed(
    trained: Trained,
    texts: Sequence[str],
    pooling: Pooling | None,
    normalize: bool | None,
    settings: TaskConfig | None,
) -> Vectors:
    """The vector of each text, (texts, hidden). Errors and warnings as in Predictor."""
    cleaned = [clean_text(text, index, len(texts)) for index, text in enumerate(texts)]
    config = _config(trained, settings)
    vectors = _vectors(trained, cleaned, pooling or config.pooling, config)
    return _unit(vectors) if (config.normalize if normalize is None else normalize) else vectors


def compare(
    trained: Trained, pairs: Sequence[tuple[str, str]], pooling: Pooling | None, settings: TaskConfig | None
) -> list[Similarity]:
    """The cosine of the vectors of each pair's texts. Errors and warnings as in Predictor."""
    texts = [text for index, texts in enumerate(pairs) for text in clean_pair(texts, index, len(pairs))]
    config = _config(trained, settings)
    vectors = _unit(_vectors(trained, texts, pooling or config.pooling, config))
    return [{"score": float(cosine)} for cosine in (vectors[::2] * vectors[1::2]).sum(1)]


def _config(trained: Trained, settings: TaskConfig | None) -> TaskConfig:
    """How texts are read and pooled: as asked, else as the model was trained, else by the defaults."""
    return settings or (trained.settings.config if trained.settings else TaskConfig())


def _vectors(trained: Trained, texts: Sequence[str], pooling: Pooling, config: TaskConfig) -> Vectors:
    length = longest_sequence("similarity", config, trained.max_length)

    def sequences(pool: list[str]) -> tuple[list[TokenSequence], int]:
        several = [fitted(trained.tokenizer, ids, None, length) for ids in ids_of(trained.tokenizer, pool)]
        return [sequence for sequence, _ in several], sum(cut for _, cut in several)

    found = [np.zeros((0, trained.model.config.hidden_size), dtype=np.float32)]
    long = 0
    for _, (pool, cut) in read_ahead(texts, sequences):
        found.append(text_vectors(trained.model, pool, pooling))
        long += cut
    warn_of(long, len(texts), f"texts are longer than the {length - 2} tokens this model reads and were cut")
    return np.concatenate(found)


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SHORTEST)
