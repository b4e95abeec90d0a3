"""What one trained model scores: each metric as a value, and its shares by document or pair, for paired comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertsmith import console, store
from bertsmith.config import Values
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus
from bertsmith.errors import UsageError
from bertsmith.finetuning import finetune
from bertsmith.studies.metrics import TASK
from bertsmith.tasks.masked_lm import TOKENS, WORDS, TextScores, score_text
from bertsmith.tasks.minimal_pairs import TIE, margins_of
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tasks.pairs import judge_pairs
from bertsmith.tasks.search import Search
from bertsmith.tasks.trained import Trained, load_trained
from bertsmith.text.skipped import Skipped

PAIR_TASKS = ("next_sentence", "sentence_order")
LARGEST = 200_000
"""Characters of a corpus' validation part that are read where no text is given."""


class Score(NamedTuple):
    """value = sum(parts) / sum(weights), an entry for each document, or minimal pair, in the order of the text.

    Where there are no parts, error is the standard error of the value, 0 for what is counted and not sampled.
    """

    value: float
    parts: list[float] = []
    weights: list[float] = []
    error: float = 0.0


Scores = dict[str, Score]


@dataclass(frozen=True)
class Questions:
    """What every model of a study is asked. documents: lists of clean sentences. tasks: name -> data.

    length: tokens of a sequence, the same for all, so that the same tokens are hidden beside the same others.
    """

    documents: Sequence[Sequence[str]]
    length: int
    pairs: Sequence[MinimalPair] = ()
    tasks: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0

    def values(self) -> Values:
        """All that the scores of a model depend on besides it."""
        return {
            "documents": store.fingerprint([list(document) for document in self.documents]),
            "pairs": store.fingerprint([[pair.good, pair.bad] for pair in self.pairs]),
            "tasks": {name: str(path) for name, path in self.tasks.items()},
            "seed": self.seed,
            "length": self.length,
        }

    @cached_property
    def fingerprint(self) -> str:
        """Equal for the same questions."""
        return store.fingerprint(self.values())


def documents_of(corpus: Corpus) -> list[list[str]]:
    """The validation part of a corpus as text again: what every model is then asked, whatever it was trained on.

    Words and signs are those of the text; case and spaces are what the tokenizer kept of them.
    """
    tokenizer = corpus.tokenizer
    found: list[list[str]] = []
    characters = 0
    for part in corpus.parts:
        for first, last in zip(part.documents[:-1], part.documents[1:], strict=True):
            ends = part.sentences[first : last + 1]
            sentences = [tokenizer.decode(part.token_ids[a:b]) for a, b in zip(ends[:-1], ends[1:], strict=True)]
            found.append([sentence for sentence in sentences if sentence.strip()])
            characters += sum(map(len, found[-1]))
            if characters > LARGEST:
                return found
    if not found:
        raise UsageError(f"{corpus.folder}: has no validation part; give a text with --valid")
    return found


def score_model(model: Path, result: Mapping[str, Any], questions: Questions, tasks: Path, seed: int) -> Scores:
    """All that is asked of a trained run. result: what its training came to. tasks: where it is fine-tuned, with the
    run's own seed.
    """
    trained = load_trained(model)
    scores = {**_of_text(trained, questions), **_of_pairs(trained, questions), **_costs(trained, result)}
    if questions.pairs:
        scores["minimal_pairs"] = _of_minimal_pairs(trained, questions.pairs)
    for name, data in questions.tasks.items():
        found = finetune(name, model, data, tasks / name, search=Search(baselines="none"), flags={"seed": seed})
        value = found["validation"][found["metric"]]
        scores[TASK + name] = Score(value, error=found["standard_error"])
    return scores


def _of_text(trained: Trained, questions: Questions) -> Scores:
    scored: TextScores = score_text(
        trained.model, trained.tokenizer, questions.documents, questions.seed, questions.length
    )
    tokens, words = scored.answers[TOKENS], scored.answers[WORDS]
    return {
        "loss": _shares(tokens[:, 0], tokens[:, 2]),
        "accuracy": _shares(tokens[:, 1], tokens[:, 2]),
        "word_loss": _shares(words[:, 0], words[:, 2]),
        "word_accuracy": _shares(words[:, 1], words[:, 2]),
        "bits_per_character": _shares(words[:, 0] / math.log(2), scored.characters.astype(float)),
    }


def _of_pairs(trained: Trained, questions: Questions) -> Scores:
    """Of a model with a pair head, both ways in which a text makes pairs, whichever it was trained on.

    Nothing of a text that makes none, such as a single document.
    """
    if "pair" not in trained.model.trained_heads:
        return {}
    found: Scores = {}
    for name in PAIR_TASKS:
        cut = replace(CutConfig(), name=name)
        try:
            logits, labels, documents = judge_pairs(
                trained.model, trained.tokenizer, questions.documents, cut, questions.seed, questions.length
            )
        except UsageError as error:
            console.warn(f"{name}: is not asked: {error}")
            continue
        right = (logits.argmax(-1) == labels).double().numpy()
        count = len(questions.documents)
        asked = np.bincount(documents, minlength=count).astype(float)
        found[name] = _shares(np.bincount(documents, right, minlength=count), asked)
    return found


def _of_minimal_pairs(trained: Trained, pairs: Sequence[MinimalPair]) -> Score:
    """An entry for each pair; one that this model cannot read has no weight."""
    kept, margins = margins_of(trained.model, trained.tokenizer, pairs, trained.max_length, Skipped())
    places = {pair.place: number for number, pair in enumerate(pairs)}
    right, weights = np.zeros(len(pairs)), np.zeros(len(pairs))
    for pair, margin in zip(kept, margins[:, 0], strict=True):
        right[places[pair.place]], weights[places[pair.place]] = margin > TIE, 1
    return _shares(right, weights)


def _costs(trained: Trained, result: Mapping[str, Any]) -> Scores:
    parameters = sum(parameter.numel() for parameter in set(trained.model.parameters()))
    return {
        "parameters": Score(parameters),
        "seconds": Score(result["seconds"]),
        "tokens_per_second": Score(result["tokens"] / max(result["seconds"], 1e-9)),
        "peak_memory": Score(result["peak_memory"]),
    }


def _shares(parts: np.ndarray, weights: np.ndarray) -> Score:
    return Score(float(parts.sum() / max(1e-9, weights.sum())), parts.tolist(), weights.tolist())
