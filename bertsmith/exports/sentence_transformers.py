"""Encoders as sentence-transformers folders, in the layout that all its versions and its servers read: modules.json,
1_Pooling, 2_Normalize where vectors have length 1, and the encoder's own files at the root.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.exports.huggingface import TOLERANCE, encoder_alone, write_huggingface
from bertsmith.exports.outputs import worst
from bertsmith.exports.probes import line_sequences, text_lines
from bertsmith.exports.tools import is_installed, quiet
from bertsmith.models.pooling import Pooling
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.trained import Trained, load_trained
from bertsmith.tasks.vectors import text_vectors

MODULES, POOLING = "modules.json", "1_Pooling/config.json"
LAYOUT = "3.0.0"  # the oldest version that knows every key written here; newer ones only warn of what is newer
MODES: dict[Pooling, str] = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
Vectors = npt.NDArray[np.float32]


def write_sentence_transformers(trained: Trained, folder: Path) -> float:
    """Write the encoder, pooled as it was trained (mean of all tokens where nothing is told); the largest difference of
    its vectors, from what was written and, where it is installed, by sentence-transformers itself.

    BertsmithError when that is too large or writing fails.
    """
    asked = trained.settings.config if trained.settings else TaskConfig()
    alone = encoder_alone(trained)
    write_huggingface(alone, folder)
    _write_layout(alone, folder, asked.pooling, asked.normalize)
    expected = _vectors(trained, asked.pooling, asked.normalize)
    difference = _difference("read again", _read_again(folder), expected)
    if is_installed("sentence_transformers"):
        theirs = _theirs(folder, text_lines(trained.tokenizer))
        difference = worst((difference, _difference("read by sentence-transformers", theirs, expected)))
    else:
        console.say("sentence-transformers is not installed: the folder was read by our own code alone")
    length = " of length 1" if asked.normalize else ""
    console.say(f"vectors{length}, {asked.pooling} of the tokens; they differ by {difference:.1e} at most")
    return difference


def _write_layout(trained: Trained, folder: Path, pooling: Pooling, normalize: bool) -> None:
    kinds = ("Transformer", "Pooling", *(("Normalize",) if normalize else ()))
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    for module in modules[1:]:
        (folder / module["path"]).mkdir()
    encoder: dict[str, Any] = {"max_seq_length": trained.max_length, "do_lower_case": False}
    model = trained.model
    if model.family.has_pooler and model.encoder.pooler is None:
        encoder["model_args"] = {"add_pooling_layer": False}  # else theirs starts one at random, with a warning
    pooled = {"word_embedding_dimension": model.config.hidden_size}
    pooled |= {key: mode == pooling for mode, key in MODES.items()}
    versions = {"__version__": {"sentence_transformers": LAYOUT}}
    asked = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    files = {
        MODULES: modules,
        POOLING: pooled,
        "sentence_bert_config.json": encoder,
        "config_sentence_transformers.json": versions | asked,
    }
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _read_again(folder: Path) -> Vectors:
    """The vectors of the lines as the files of the folder say that they are made."""
    kinds = [module["type"].rpartition(".")[2] for module in json.loads((folder / MODULES).read_bytes())]
    modes = json.loads((folder / POOLING).read_bytes())
    (pooling,) = (mode for mode in get_args(Pooling) if modes[MODES[mode]])
    return _vectors(load_trained(folder), pooling, "Normalize" in kinds)


def _vectors(trained: Trained, pooling: Pooling, normalize: bool) -> Vectors:
    vectors = text_vectors(trained.model, line_sequences(trained.tokenizer, trained.max_length), pooling)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12) if normalize else vectors


def _theirs(folder: Path, lines: list[str]) -> Vectors:
    from sentence_transformers import SentenceTransformer

    with quiet(), redirect_stderr(io.StringIO()):  # their progress bars
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return np.asarray(model.encode(lines, show_progress_bar=False, convert_to_numpy=True))


def _difference(how: str, found: Vectors, expected: Vectors) -> float:
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise BertsmithError(f"{how}, vectors differ by {difference:.1e}: nothing is written")
    return difference
