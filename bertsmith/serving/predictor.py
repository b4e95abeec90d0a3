"""Answers from a trained model, for one text or many, of any length, from any number of threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch

from bertsmith.models.config import TaskHead
from bertsmith.models.model import Model
from bertsmith.models.pooling import Pooling
from bertsmith.serving import embedding, filling, labelling, pair_judging
from bertsmith.serving.embedding import Similarity
from bertsmith.serving.engine import Precision, first_tokens_only
from bertsmith.serving.filling import Filling
from bertsmith.serving.labelling import Entity, FoundAnswer, Label, Text
from bertsmith.serving.pair_judging import Judgement
from bertsmith.serving.precision import Auto, at_precision
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.forward import device_of
from bertsmith.tasks.trained import Trained, load_trained
from bertsmith.tokenizers.tokenizer import Tokenizer

Pair = tuple[str, str]
R = TypeVar("R")


class Predictor:
    """A trained model, ready to answer. Its methods keep no state, so threads may share one Predictor.

    Every method takes one text (or pair, a tuple) and gives its result, or a list and gives a list of results in the
    same order. Texts are cleaned as a corpus is (Unicode form, control characters, white space). UsageError, in one
    line, for a text that is empty, holds a NUL or half a character, and for a model without the head that is asked.

    settings: how texts are read; None = as the model was fine-tuned. precision: that the model computes in.
    """

    def __init__(self, trained: Trained, settings: TaskConfig | None = None, precision: Precision = "fp32") -> None:
        self.trained, self.settings, self.precision = trained, settings, precision
        self._judging = trained._replace(model=first_tokens_only(trained.model.eval()))

    @classmethod
    def load(
        cls, path: str | Path, precision: Precision | Auto = "fp32", settings: TaskConfig | None = None
    ) -> Predictor:
        """Read a run or any Hugging Face folder of a supported family, to compute in a precision (see `at_precision`).

        "auto" measures which is fastest. Errors as in `load_trained`; UsageError for a precision that there is not.
        """
        trained = load_trained(path)
        model, taken = at_precision(trained, precision)
        return cls(trained._replace(model=model), settings, taken)

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self.trained.model

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.trained.tokenizer

    @property
    def max_length(self) -> int:
        """The longest sequence the model reads, in tokens, special ones included."""
        return self.trained.max_length

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return device_of(self.trained.model)

    @property
    def head(self) -> TaskHead | None:
        """What the model decides; None for an encoder without a task head."""
        return self.trained.model.task

    @overload
    def fill_mask(self, texts: str, top_k: int = 5) -> list[list[Filling]]: ...
    @overload
    def fill_mask(self, texts: list[str], top_k: int = 5) -> list[list[list[Filling]]]: ...
    def fill_mask(self, texts: str | list[str], top_k: int = 5) -> list[list[Filling]] | list[list[list[Filling]]]:
        """The most probable tokens for every `[MASK]`: per text a list with one list of `top_k` Fillings per mask.

        In a text longer than the model each mask is answered from the tokens around it, as many as fit, and a warning
        counts such texts. UsageError for a text without `[MASK]`.
        """
        return _each(texts, str, lambda many: filling.fill(self.trained, many, top_k))

    @overload
    def next_sentence(self, pairs: Pair) -> Judgement: ...
    @overload
    def next_sentence(self, pairs: list[Pair]) -> list[Judgement]: ...
    def next_sentence(self, pairs: Pair | list[Pair]) -> Judgement | list[Judgement]:
        """The probability that the second text follows the first: `{"is_next": p}`.

        A pair longer than the model loses tokens from the start of the first and the end of the second text, the
        longer one first, so that what meets stays; a warning counts such pairs.
        """
        return _each(pairs, tuple, lambda many: pair_judging.judge(self._judging, many))

    @overload
    def classify(self, texts: Text) -> Label: ...
    @overload
    def classify(self, texts: list[str] | list[Pair] | list[Text]) -> list[Label]: ...
    def classify(self, texts: Text | list[str] | list[Pair] | list[Text]) -> Label | list[Label]:
        """The likeliest label of a text, or pair of texts, and its probability; of a regression its value.

        What does not fit into the model is cut from the end; a warning counts such texts.
        """
        return _each(texts, (str, tuple), lambda many: labelling.classify(self._judging, many, self.settings))

    @overload
    def tag(self, texts: str) -> list[Entity]: ...
    @overload
    def tag(self, texts: list[str]) -> list[list[Entity]]: ...
    def tag(self, texts: str | list[str]) -> list[Entity] | list[list[Entity]]:
        """The entities of a text, by characters of the text as it was given.

        Words are runs of letters and digits and single signs; characters in Chinese. A text longer than the model is
        read in windows that overlap.
        """
        return _each(texts, str, lambda many: labelling.tag(self.trained, many, self.settings))

    @overload
    def answer(self, asked: Pair) -> FoundAnswer: ...
    @overload
    def answer(self, asked: list[Pair]) -> list[FoundAnswer]: ...
    def answer(self, asked: Pair | list[Pair]) -> FoundAnswer | list[FoundAnswer]:
        """The answer to a (question, context), from the context, by its characters as it was given.

        A context longer than the model is read in windows that overlap.
        """
        return _each(asked, tuple, lambda many: labelling.answer(self.trained, many, self.settings))

    @overload
    def similarity(self, pairs: Pair, pooling: Pooling | None = None) -> Similarity: ...
    @overload
    def similarity(self, pairs: list[Pair], pooling: Pooling | None = None) -> list[Similarity]: ...
    def similarity(self, pairs: Pair | list[Pair], pooling: Pooling | None = None) -> Similarity | list[Similarity]:
        """How alike two texts are: what a regression head says, else the cosine of their vectors (see embed)."""
        if self.head is not None and self.head.regression:
            return _each(pairs, tuple, lambda many: [Similarity(score=label["score"]) for label in self.classify(many)])
        return _each(pairs, tuple, lambda many: embedding.compare(self.trained, many, pooling, self.settings))

    def embed(
        self, texts: str | list[str], pooling: Pooling | None = None, normalize: bool | None = None
    ) -> npt.NDArray[np.float32]:
        """The vector of a text, (hidden,) float32, or of each text of a list, (texts, hidden).

        pooling: the "mean" of the last hidden states, special tokens included, or that of the first token ("cls").
        normalize: whether each has length 1. None = as the model was trained to give vectors, else mean, not
        normalised. A text longer than the model is cut at its end; a warning counts such texts.
        """
        many = [texts] if isinstance(texts, str) else texts
        found = embedding.embed(self.trained, many, pooling, normalize, self.settings)
        return found[0] if isinstance(texts, str) else found


def _each(asked: Any, single: type | tuple[type, ...], answer: Callable[[list[Any]], list[R]]) -> Any:
    """The answers to several questions, or the answer to a single one, which is of the given type."""
    return answer([asked])[0] if isinstance(asked, single) else answer(asked)
