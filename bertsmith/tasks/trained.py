"""A trained model with all that is needed to ask it something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch

from bertsmith import store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import load_model
from bertsmith.models.model import Model
from bertsmith.tokenizers.tokenizer import Tokenizer

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class Trained(NamedTuple):
    """max_length: the longest sequence the model may be asked, special tokens included."""

    folder: Path
    model: Model
    tokenizer: Tokenizer
    max_length: int


def load_trained(path: str | Path) -> Trained:
    """Read a run (its `model/`) or any Hugging Face folder of a supported family, onto the GPU where there is one.

    Raises UsageError or BertsmithError naming the file when something is missing, damaged or does not fit together.
    """
    folder = model_folder(Path(path))
    store.verify_files(folder, FILES)
    model = load_model(folder)
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise BertsmithError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model {model.config.vocab_size} embeddings"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Trained(folder, model.to(device).eval(), tokenizer, longest(folder, model.config.max_positions))


def model_folder(path: Path) -> Path:
    """Where the model lies: the folder itself, or `model/` in the folder of a run."""
    if (path / "config.json").exists():
        return path
    if (path / "model" / "config.json").exists():
        return path / "model"
    if not path.is_dir():
        raise UsageError(f"{path}: there is no such folder; give a run or a model folder")
    if (path / "recipe.toml").exists():
        raise UsageError(
            f"{path}: this run has no finished model yet; type its pretrain line again, or give one of its checkpoints"
        )
    raise UsageError(f"{path}: holds no model (no config.json); give a run or a model folder")


def longest(folder: Path, positions: int) -> int:
    """The longest sequence trained (`model_max_length` of the tokenizer), never more than the model has positions."""
    try:
        length = json.loads((folder / "tokenizer_config.json").read_bytes()).get("model_max_length", positions)
    except (OSError, ValueError, AttributeError):
        return positions
    # Folders without a limit write a huge float here.
    return int(min(length, positions)) if isinstance(length, int | float) and length >= 8 else positions
