"""Reading byte-level BPE: vocab.json with merges.txt, or tokenizer.json. Nothing is used before it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tokenizers.byte_bpe import MERGES, VOCABULARY, ByteBPETokenizer, Merge
from bertsmith.tokenizers.folder import check_added, check_tokens, in_order, load_json, part, read_bytes


def read_pair(file: Path) -> ByteBPETokenizer:
    """A vocabulary and its merges, found by the name of either: x-vocab.json goes with x-merges.txt."""
    name = file.name
    vocabulary = file if name.endswith(VOCABULARY) else file.with_name(name.removesuffix(MERGES) + VOCABULARY)
    merges = file if name.endswith(MERGES) else file.with_name(name.removesuffix(VOCABULARY) + MERGES)
    for needed in (vocabulary, merges):
        if not needed.name.endswith((VOCABULARY, MERGES)) or not needed.exists():
            raise UsageError(f"{file}: goes with {needed.name}, which is not beside it")
    tokens = in_order(vocabulary, load_json(vocabulary))
    check_tokens(vocabulary, tokens)
    return ByteBPETokenizer(tokens, _read_merges(merges))


def _read_merges(file: Path) -> list[Merge]:
    try:
        lines = read_bytes(file).decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise BertsmithError(f"{file}: is not UTF-8 text") from None
    merges: list[Merge] = []
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        merges.append(_merge(line.split(" "), f"{file}:{number}"))
    return merges


def _merge(pieces: object, where: str) -> Merge:
    if isinstance(pieces, str):
        pieces = pieces.split(" ")
    if not isinstance(pieces, list) or len(pieces) != 2 or not all(isinstance(p, str) and p for p in pieces):
        raise BertsmithError(f"{where}: a merge must be two pieces with a space between")
    return pieces[0], pieces[1]


def read_json(file: Path, values: Mapping[str, Any]) -> ByteBPETokenizer:
    """The content of a tokenizer.json, which must describe RoBERTa's byte-level BPE."""
    model = part(file, values, "model")
    split = part(file, values, "pre_tokenizer")
    for key, found, wanted in (
        ("model.dropout", model.get("dropout"), (None,)),
        ("model.continuing_subword_prefix", model.get("continuing_subword_prefix"), (None, "")),
        ("model.end_of_word_suffix", model.get("end_of_word_suffix"), (None, "")),
        ("model.byte_fallback", model.get("byte_fallback", False), (False,)),
        ("model.ignore_merges", model.get("ignore_merges", False), (False,)),
        ("normalizer", values.get("normalizer"), (None,)),
        ("pre_tokenizer.type", split.get("type"), ("ByteLevel",)),
        ("pre_tokenizer.add_prefix_space", split.get("add_prefix_space", True), (False,)),
        ("pre_tokenizer.use_regex", split.get("use_regex", True), (True,)),
    ):
        if found not in wanted:
            raise BertsmithError(f"{file}: {key} is {found!r}; only RoBERTa's {wanted[-1]!r} can be used")
    tokens = in_order(file, model.get("vocab"))
    check_tokens(file, tokens)
    check_added(file, values.get("added_tokens"), tokens)
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise BertsmithError(f"{file}: model.merges must be a list")
    return ByteBPETokenizer(tokens, [_merge(merge, f"{file}: merge {i}") for i, merge in enumerate(merges, start=1)])
