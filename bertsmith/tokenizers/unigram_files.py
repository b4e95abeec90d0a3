"""Reading unigram tokenizers: SentencePiece's model files and tokenizer.json. Nothing is used before it is checked."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError
from bertsmith.tokenizers import spiece
from bertsmith.tokenizers.folder import check_added, check_tokens, flag, load_json, part, read_bytes
from bertsmith.tokenizers.unigram import Piece, Spelling, UnigramTokenizer

SPACES = ({"Regex": " {2,}"}, " ")  # the one other replacement of published files: words are split at spaces anyway


def read_model(file: Path, settings: Mapping[str, Any], lowercase: bool | None) -> UnigramTokenizer:
    """ALBERT's spiece.model, or sentencepiece.bpe.model of XLM-R or CamemBERT, whose ids are moved as published."""
    data = read_bytes(file)
    try:
        found = spiece.parse(data)
    except BertsmithError as error:
        raise BertsmithError(f"{file}: {error}") from None
    names = [piece for piece, _ in found.pieces]
    if "[CLS]" in names:
        pieces, tokenizer_class = found.pieces, "AlbertTokenizer"
        spelling = _albert_spelling(file, settings, lowercase, found.charsmap)
    else:
        tokenizer_class = "CamembertTokenizer" if _is_camembert(file, settings) else "XLMRobertaTokenizer"
        pieces = _moved(file, found.pieces, tokenizer_class)
        spelling = Spelling(False, True, False, found.charsmap)
    _check(file, pieces)
    return UnigramTokenizer(pieces, spelling, tokenizer_class, data)


def _albert_spelling(file: Path, settings: Mapping[str, Any], lowercase: bool | None, charsmap: bytes) -> Spelling:
    where = file.with_name("tokenizer_config.json")
    if lowercase is None:
        lowercase = flag(where, settings, "do_lower_case") is not False
    return Spelling(True, flag(where, settings, "keep_accents") is True, lowercase, charsmap)


def _is_camembert(file: Path, settings: Mapping[str, Any]) -> bool:
    if str(settings.get("tokenizer_class", "")).startswith("Camembert"):
        return True
    config = file.with_name("config.json")
    return config.exists() and load_json(config).get("model_type") == "camembert"


def _moved(file: Path, pieces: Sequence[Piece], tokenizer_class: str) -> list[Piece]:
    """The ids of fairseq's dictionaries: its own special tokens first, the model's pieces behind them, <mask> last."""
    if [piece for piece, _ in pieces[:3]] != ["<unk>", "<s>", "</s>"]:
        raise BertsmithError(f"{file}: its first pieces must be <unk>, <s> and </s>, or it must hold [CLS] (ALBERT)")
    if tokenizer_class == "CamembertTokenizer":
        first = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]
        return [*first, *pieces[1:], ("<mask>", 0.0)]
    return [*((name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")), *pieces[3:], ("<mask>", 0.0)]


def _check(file: Path, pieces: Sequence[Piece]) -> None:
    check_tokens(file, [piece for piece, _ in pieces])
    for piece, score in pieces:
        if " " in piece:
            raise BertsmithError(f"{file}: the piece {piece!r} holds a space")
        if not math.isfinite(score):
            raise BertsmithError(f"{file}: the score of {piece!r} is not a number")


# --- tokenizer.json ---------------------------------------------------------------------------------------------


def read_json(
    file: Path, values: Mapping[str, Any], settings: Mapping[str, Any], lowercase: bool | None
) -> UnigramTokenizer:
    """The content of a tokenizer.json, which must describe the unigram model of ALBERT, XLM-R or CamemBERT."""
    model = part(file, values, "model")
    rows = model.get("vocab")
    if not isinstance(rows, list):
        raise BertsmithError(f"{file}: model.vocab must be a list of pieces with their scores")
    pieces = [_row(file, row) for row in rows]
    _check(file, pieces)
    check_added(file, values.get("added_tokens"), [piece for piece, _ in pieces])
    _check_words(file, values.get("pre_tokenizer"))
    if model.get("byte_fallback", False) is not False:
        raise BertsmithError(f"{file}: model.byte_fallback is true; only false can be used")
    spelling = _spelling(file, values.get("normalizer"))
    if lowercase is not None:
        spelling = spelling._replace(lowercase=lowercase)
    names = {piece for piece, _ in pieces}
    default = "AlbertTokenizer" if "[CLS]" in names else "XLMRobertaTokenizer"
    default = "CamembertTokenizer" if "<s>NOTUSED" in names else default
    beside = file.with_name("spiece.model")
    tokenizer = UnigramTokenizer(pieces, spelling, default, read_bytes(beside) if beside.is_file() else b"")
    if model.get("unk_id") != tokenizer.special.unk:
        raise BertsmithError(f"{file}: model.unk_id is {model.get('unk_id')!r}, but <unk> is {tokenizer.special.unk}")
    return tokenizer


def _row(file: Path, row: object) -> Piece:
    if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and row[0]:
        score = row[1]
        if isinstance(score, int | float) and not isinstance(score, bool):
            return row[0], float(score)
    raise BertsmithError(f"{file}: model.vocab must be a list of pieces with their scores, not {str(row)[:40]!r}")


def _check_words(file: Path, found: Any) -> None:
    steps = found.get("pretokenizers") if isinstance(found, dict) and found.get("type") == "Sequence" else [found]
    for step in steps if isinstance(steps, list) else [None]:
        step = step if isinstance(step, dict) else {}
        kind = step.get("type")
        is_space = kind == "Metaspace" and step.get("replacement") == "▁" and step.get("split", True) is True
        always = kind == "Metaspace" and step.get("prepend_scheme", "always") == "always"
        if kind != "WhitespaceSplit" and not (is_space and always and step.get("add_prefix_space", True) is True):
            raise BertsmithError(f"{file}: pre_tokenizer must be WhitespaceSplit and Metaspace with ▁ before each word")


def _spelling(file: Path, found: Any) -> Spelling:
    steps = found.get("normalizers") if isinstance(found, dict) and found.get("type") == "Sequence" else [found]
    kinds: list[str] = []
    charsmap = b""
    for step in steps if isinstance(steps, list) else [None]:
        if step is None and found is None:
            continue
        step = step if isinstance(step, dict) else {}
        kind = step.get("type")
        if kind == "Replace":
            pair = (step.get("pattern"), step.get("content"))
            kind = _REPLACEMENTS.get(str(pair), "another Replace")
        elif kind == "Precompiled":
            charsmap = _charsmap(file, step.get("precompiled_charsmap"))
        if kind != "spaces":
            kinds.append(str(kind))
    quotes, accents = ["``", "''"], ["NFKD", "StripAccents"]
    spelling = Spelling(quotes[0] in kinds, accents[0] not in kinds, "Lowercase" in kinds, charsmap)
    expected = quotes * spelling.quotes + accents * (not spelling.keep_accents) + ["Lowercase"] * spelling.lowercase
    if kinds != expected + ["Precompiled"] * bool(charsmap):
        raise BertsmithError(f"{file}: normalizer is {', '.join(kinds)[:80]}; only ALBERT's or XLM-R's can be used")
    return spelling


_REPLACEMENTS = {
    str(({"String": "``"}, '"')): "``",
    str(({"String": "''"}, '"')): "''",
    str(SPACES): "spaces",
}


def _charsmap(file: Path, text: object) -> bytes:
    try:
        table = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        spiece.check_charsmap(table)
    except (binascii.Error, ValueError, BertsmithError):
        raise BertsmithError(f"{file}: normalizer.precompiled_charsmap is damaged") from None
    return table
