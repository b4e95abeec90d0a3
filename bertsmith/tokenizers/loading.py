"""Which kind of tokenizer a folder or file holds, and loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertsmith import console
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tokenizers import byte_bpe_files, folder, unigram_files
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer

SETTINGS = "tokenizer_config.json"
JSON = "tokenizer.json"
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "sentencepiece.model")


def load_tokenizer(path: Path, lowercase: bool | None) -> Tokenizer:
    """A tokenizer of the kind its files tell. Raises UsageError or BertsmithError naming the file."""
    if not path.exists():
        raise UsageError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return _load_file(path, {}, lowercase)
    file = _file_of(path)
    settings = folder.load_json(path / SETTINGS) if (path / SETTINGS).exists() else {}
    return _load_file(file, settings, lowercase)


def _file_of(path: Path) -> Path:
    for name in (JSON, *SENTENCEPIECE, "vocab.json", "vocab.txt"):
        if (path / name).exists():
            return path / name
    raise UsageError(
        f"{path}: holds neither {JSON} nor vocab.txt, vocab.json with merges.txt, {SENTENCEPIECE[0]} or "
        f"{SENTENCEPIECE[1]}"
    )


def _load_file(file: Path, settings: dict[str, Any], lowercase: bool | None) -> Tokenizer:
    try:
        if file.suffix == ".model":
            return unigram_files.read_model(file, settings, lowercase)
        if file.suffix == ".json":
            return _load_json(file, settings, lowercase)
        if file.name.endswith("merges.txt"):
            return _cased(file, byte_bpe_files.read_pair(file), lowercase)
        found = folder.read_vocabulary(file, settings, lowercase)
        return WordPieceTokenizer(found.tokens, found.lowercase, found.strip_accents, found.added)
    except BertsmithError as error:
        said = str(error)
        raise error if said.startswith(str(file.parent)) else type(error)(f"{file}: {said}") from None


def _load_json(file: Path, settings: dict[str, Any], lowercase: bool | None) -> Tokenizer:
    values = folder.load_json(file)
    is_vocabulary = bool(values) and all(isinstance(value, int) for value in values.values())
    if is_vocabulary:
        return _cased(file, byte_bpe_files.read_pair(file), lowercase)
    model = values.get("model")
    kind = model.get("type", "WordPiece") if isinstance(model, dict) else None
    if kind == "BPE":
        return _cased(file, byte_bpe_files.read_json(file, values), lowercase)
    if kind == "Unigram":
        return unigram_files.read_json(file, values, settings, lowercase)
    found = folder.read_json(file, values, settings, lowercase)
    return WordPieceTokenizer(found.tokens, found.lowercase, found.strip_accents, found.added)


def _cased(file: Path, tokenizer: Tokenizer, lowercase: bool | None) -> Tokenizer:
    if lowercase:
        console.warn(f"{file}: byte-level BPE keeps the case; tokenizer.lowercase changes nothing")
    return tokenizer
