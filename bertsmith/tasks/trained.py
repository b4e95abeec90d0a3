"""A trained model with all that is needed to ask it something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from bertsmith import config, store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import load_model
from bertsmith.models.model import Model
from bertsmith.tasks.examples import TaskType
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tokenizers.tokenizer import Tokenizer

SHORTEST = 8  # tokens: three special ones and a few words
SETTINGS = "task.json"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", SETTINGS)


@dataclass(frozen=True)
class TaskSettings:
    """What a fine-tuned model was trained for, beside its weights: MODEL/task.json.

    task: its name and type; labels: those of the head; metrics: that it is measured by; no_answer, by_character,
    language: as in Task. config: as it was trained, its max_length resolved.
    """

    task: str
    type: TaskType
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    config: TaskConfig
    no_answer: bool = False
    by_character: bool = False
    language: str = "en"


class Trained(NamedTuple):
    """max_length: the longest sequence the model may be asked, special tokens included.

    settings: of a model that was fine-tuned here; None of any other.
    """

    folder: Path
    model: Model
    tokenizer: Tokenizer
    max_length: int
    settings: TaskSettings | None = None


def load_trained(path: str | Path) -> Trained:
    """Read a run (its `model/`) or any Hugging Face folder of a supported family, onto the GPU where there is one.

    Raises UsageError or BertsmithError naming the file when something is missing, damaged or does not fit together.
    """
    folder = model_folder(Path(path))
    store.verify_files(folder, FILES)
    model = load_model(folder)
    tokenizer = Tokenizer.load(folder)
    require_embeddings(folder, tokenizer, model.config.vocab_size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    positions = longest(folder, model.config.max_positions)
    return Trained(folder, model.to(device).eval(), tokenizer, positions, read_settings(folder))


def read_settings(folder: Path) -> TaskSettings | None:
    """MODEL/task.json, or None where there is none; BertsmithError when it is damaged."""
    file = folder / SETTINGS
    if not file.is_file():
        return None
    try:
        return config.build(TaskSettings, json.loads(file.read_bytes()), str(file))
    except UsageError as error:
        raise BertsmithError(str(error).splitlines()[0]) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BertsmithError(f"{file}: cannot be read ({str(error)[:100]})") from error


def write_settings(folder: Path, settings: TaskSettings) -> None:
    """Write MODEL/task.json into an unfinished model folder."""
    text = json.dumps(config.to_values(settings), indent=1, ensure_ascii=False)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def require_embeddings(folder: Path, tokenizer: Tokenizer, embeddings: int) -> None:
    """BertsmithError when there are tokens without an embedding."""
    if tokenizer.vocab_size > embeddings:
        raise BertsmithError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model {embeddings} embeddings"
        )


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
            f"{path}: this run has no finished model yet; type its line again, or give one of its checkpoints"
        )
    raise UsageError(f"{path}: holds no model (no config.json); give a run or a model folder")


def longest(folder: Path, positions: int) -> int:
    """The longest sequence trained (`model_max_length` of the tokenizer), never more than the model has positions.

    BertsmithError where that is too short to hold a text.
    """
    if positions < SHORTEST:
        raise _too_short(folder / "config.json", "max_position_embeddings", positions)
    file = folder / "tokenizer_config.json"
    try:
        length = json.loads(file.read_bytes()).get("model_max_length", positions)
    except (OSError, ValueError, AttributeError):
        return positions
    if not isinstance(length, int | float) or length != length:
        return positions
    if length < SHORTEST:
        raise _too_short(file, "model_max_length", length)
    return int(min(length, positions))  # folders without a limit write a huge float here


def _too_short(file: Path, key: str, length: float) -> BertsmithError:
    return BertsmithError(f"{file}: {key} is {length}, but a text with its special tokens needs {SHORTEST} at least")
