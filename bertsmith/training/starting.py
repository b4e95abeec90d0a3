"""Trained weights to start from: read, held against what is asked for, and made to fit where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.deepening import deepen
from bertsmith.models.folder import CONFIG, load_model
from bertsmith.models.huggingface import config_from_json
from bertsmith.models.model import Model
from bertsmith.models.untrusted import read_config, regular_file
from bertsmith.tokenizers.tokenizer import Tokenizer

NOT_IN_WEIGHTS = frozenset({"dropout", "attention_dropout", "init_std"})
"""Fields that say nothing of a folder's weights, so that a recipe keeps its own."""

SIZED_BY_VOCABULARY = ("encoder.embeddings.words.weight", "heads.masked_lm.bias")


def fields_of(folder: Path, family: str) -> dict[str, Any]:
    """The fields of [model] that a folder's weights decide, by name; the vocabulary is the corpus'.

    UsageError when the folder's model is not of this family (a recipe's): nothing else of the recipe would fit.
    """
    path = regular_file(folder, CONFIG)
    found = asdict(config_from_json(read_config(path), path))
    if found["family"] != family:
        raise UsageError(
            f"model.family: is {found['family']} in {folder} and {family} in the recipe; choose a recipe of that "
            f"family or add --model.family {found['family']}"
        )
    return {name: value for name, value in found.items() if name not in NOT_IN_WEIGHTS | {"vocab_size"}}


def load_starting_model(folder: Path, wanted: EncoderConfig, tokenizer: Tokenizer) -> Model:
    """The folder's model as it is wanted, for a corpus of this tokenizer; what was changed is said.

    More layers than the folder has are started from those it has (models.deepening). Tokens that the corpus' tokenizer
    has beyond the folder's start as the mean of the pieces that the folder's tokenizer cuts them into; rows of the
    embedding without a token are left out. UsageError naming the field that differs, or the vocabulary.
    """
    model = load_model(folder, foreign_heads=True)
    _require_same_shape(folder, model.config, wanted)
    own = Tokenizer.load(folder)
    require_same_vocabulary(folder, own, tokenizer)
    if own.vocab_size > model.config.vocab_size:
        raise UsageError(
            f"{folder}: its tokenizer has {own.vocab_size} tokens, its model {model.config.vocab_size} embeddings; "
            "they do not belong together"
        )
    if wanted.layers > model.config.layers:
        console.say(f"{folder} has {model.config.layers} layers: the {wanted.layers} layers start from their weights")
        model = deepen(model, wanted.layers)
    if tokenizer.vocab_size != model.config.vocab_size:
        _fit_vocabulary(model, own, tokenizer, folder)
    return model


def _require_same_shape(folder: Path, found: EncoderConfig, wanted: EncoderConfig) -> None:
    for field in fields(found):
        has, asked = getattr(found, field.name), getattr(wanted, field.name)
        if has == asked or field.name in NOT_IN_WEIGHTS or field.name == "vocab_size":
            continue
        if field.name == "layers" and asked > has:
            continue
        flag = f"--model.{field.name.replace('_', '-')}"
        raise UsageError(
            f"model.{field.name}: is {has} in {folder} and {asked} in the recipe; they must agree ({flag} {has})"
        )


def require_same_vocabulary(folder: Path, own: Tokenizer, tokenizer: Tokenizer) -> None:
    """UsageError unless the corpus' tokenizer is the folder's, or has the folder's tokens first and more after them."""
    if own.kind != tokenizer.kind:
        raise UsageError(
            f"{folder}: its tokenizer is {own.kind}, the corpus's {tokenizer.kind}: ids would mean other tokens; "
            f"prepare the corpus with --tokenizer {folder}"
        )
    if tokenizer.tokens[: own.vocab_size] != own.tokens:
        raise UsageError(f"{folder}: its vocabulary is not the corpus's; prepare the corpus with --tokenizer {folder}")
    if own.vocab_size == tokenizer.vocab_size and own.fingerprint != tokenizer.fingerprint:
        console.warn(f"{folder}: its tokenizer cuts text otherwise than that of the corpus (case or accents)")


def _fit_vocabulary(model: Model, own: Tokenizer, tokenizer: Tokenizer, folder: Path) -> None:
    """Give the model as many rows of the embedding, and of the output bias, as the tokenizer has tokens."""
    unused = model.config.vocab_size - own.vocab_size
    if unused:
        console.say(f"{folder}: {unused} rows of its embedding belong to no token and are left out")
    added = tokenizer.tokens[own.vocab_size :]
    pieces = [own.encode_sentences([token]).token_ids.tolist() or [own.special.unk] for token in added]
    if added:
        console.say(f"{len(added)} added tokens start as the mean of the pieces that {folder} knew them by")
    for name, parameter in list(model.named_parameters()):
        if name in SIZED_BY_VOCABULARY:
            _replace(model, name, _extended(parameter.detach()[: own.vocab_size], pieces))


def _extended(rows: Tensor, pieces: Sequence[Sequence[int]]) -> Tensor:
    """(tokens, ...) rows with one more for each list of pieces: the mean of theirs."""
    return torch.cat([rows, *(rows[list(ids)].mean(0, keepdim=True) for ids in pieces)])


def _replace(model: Model, name: str, values: Tensor) -> None:
    module, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(module), attribute, torch.nn.Parameter(values))
