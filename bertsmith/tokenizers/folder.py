"""WordPiece on disk: vocab.txt and tokenizer.json; and reading any file of a tokenizer with care.

Nothing of a file is executed or handed to another library before it is checked: a tokenizer.json must describe BERT's
own normalisation, words and model, of which only the vocabulary and the casing are taken.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.store import write_atomic
from bertsmith.tokenizers.wordpiece import CONTINUATION, LONGEST_WORD

LARGEST_FILE = 64 * 2**20  # bytes; the largest published BERT vocabulary takes 5 MB
MOST_TOKENS = 2_000_000
ADDED = "added_words"  # in tokenizer_config.json: how many tokens at the end were put to a published vocabulary
_MARKED = re.compile(r"\[.*\]|<.*>")


class Found(NamedTuple):
    """What a file or folder says about a tokenizer."""

    file: Path
    tokens: list[str]
    lowercase: bool
    strip_accents: bool
    added: int  # words put to a published vocabulary, at its end


def read_bytes(file: Path) -> bytes:
    """The content of a regular file of bounded size; BertsmithError naming it otherwise."""
    try:
        state = file.stat()
        if not stat.S_ISREG(state.st_mode):
            raise BertsmithError(f"{file}: is not a regular file")
        if state.st_size > LARGEST_FILE:
            raise BertsmithError(f"{file}: {state.st_size} bytes is too large for a tokenizer")
        return file.read_bytes()
    except OSError as error:
        raise BertsmithError(f"{file}: cannot be read ({error.strerror})") from None


def load_json(file: Path) -> dict[str, Any]:
    """The one object of a JSON file; BertsmithError naming it otherwise."""
    try:
        values = json.loads(read_bytes(file))
    except (ValueError, RecursionError):
        raise BertsmithError(f"{file}: is not JSON") from None
    if not isinstance(values, dict):
        raise BertsmithError(f"{file}: must hold one JSON object")
    return values


def read_vocabulary(file: Path, settings: Mapping[str, Any], lowercase: bool | None) -> Found:
    """A vocab.txt; where nothing says its casing, that is guessed and reported."""
    try:
        text = read_bytes(file).decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise BertsmithError(f"{file}: is not UTF-8 text") from None
    # Only newlines end an entry: published vocabularies hold other characters that Python counts as line breaks.
    tokens = text.replace("\r\n", "\n").split("\n")
    if tokens[-1] == "":
        tokens.pop()
    for number, token in enumerate(tokens, start=1):
        if not token:
            raise BertsmithError(f"{file}:{number}: an empty line; every line must hold one token")
    if lowercase is None:
        lowercase = flag(file.with_name("tokenizer_config.json"), settings, "do_lower_case")
    if lowercase is None:
        lowercase = not any(_has_capital(token) for token in tokens)
        reading = (
            "no entry has a capital, so text is lower-cased" if lowercase else "entries have capitals: case is kept"
        )
        console.say(f"{file}: {reading} (tokenizer.lowercase decides otherwise)")
    accents = flag(file.with_name("tokenizer_config.json"), settings, "strip_accents")
    return _found(file, tokens, lowercase, accents, settings)


def _has_capital(token: str) -> bool:
    return token != token.lower() and not _MARKED.fullmatch(token)


def _found(
    file: Path, tokens: list[str], lowercase: bool, strip_accents: bool | None, settings: Mapping[str, Any]
) -> Found:
    check_tokens(file, tokens)
    added = settings.get(ADDED, 0)
    if not isinstance(added, int) or isinstance(added, bool) or not 0 <= added < len(tokens):
        raise BertsmithError(f"{file.with_name('tokenizer_config.json')}: {ADDED} must be a number of tokens")
    return Found(file, tokens, lowercase, lowercase if strip_accents is None else strip_accents, added)


def check_tokens(file: Path, tokens: Sequence[str]) -> None:
    """BertsmithError naming the file unless there are 1 to MOST_TOKENS whole tokens on a line each."""
    if not 0 < len(tokens) <= MOST_TOKENS:
        raise BertsmithError(f"{file}: holds {len(tokens)} tokens; 1 to {MOST_TOKENS} are possible")
    for number, token in enumerate(tokens):
        if "\n" in token or not _is_whole(token):
            raise BertsmithError(f"{file}: token {number} ({token!a}) holds a newline or half a character")


def _is_whole(token: str) -> bool:
    return token.isascii() or not any("\ud800" <= character <= "\udfff" for character in token)


def flag(file: Path, values: Mapping[str, Any], key: str) -> bool | None:
    """A setting that is true, false or null; BertsmithError naming it otherwise."""
    value = values.get(key)
    if value is not None and not isinstance(value, bool):
        raise BertsmithError(f"{file}: {key} must be true, false or null")
    return value


def read_json(file: Path, values: Mapping[str, Any], settings: Mapping[str, Any], lowercase: bool | None) -> Found:
    """The content of a tokenizer.json, which must describe BERT's WordPiece."""
    model, normalizer = part(file, values, "model"), part(file, values, "normalizer")
    _expect(file, "model.type", model.get("type", "WordPiece"), "WordPiece")
    _expect(file, "model.unk_token", model.get("unk_token", "[UNK]"), "[UNK]")
    _expect(file, "model.continuing_subword_prefix", model.get("continuing_subword_prefix", CONTINUATION), CONTINUATION)
    _expect(file, "model.max_input_chars_per_word", model.get("max_input_chars_per_word", LONGEST_WORD), LONGEST_WORD)
    _expect(file, "normalizer.type", normalizer.get("type"), "BertNormalizer")
    _expect(file, "normalizer.clean_text", normalizer.get("clean_text", True), True)
    _expect(file, "normalizer.handle_chinese_chars", normalizer.get("handle_chinese_chars", True), True)
    _expect(file, "pre_tokenizer.type", part(file, values, "pre_tokenizer").get("type"), "BertPreTokenizer")
    accents = flag(file, normalizer, "strip_accents")
    if lowercase is None:
        lowercase = flag(file, normalizer, "lowercase") is not False
        setting = flag(file.with_name("tokenizer_config.json"), settings, "do_lower_case")
        if setting not in (None, lowercase):
            said = f"lowercase is {str(lowercase).lower()} here, do_lower_case in tokenizer_config.json is not"
            console.say(f"{file}: {said}; the former is taken (set tokenizer.lowercase to decide otherwise)")
    tokens = in_order(file, model.get("vocab"))
    check_added(file, values.get("added_tokens"), tokens)
    return _found(file, tokens, lowercase, accents, settings)


def check_added(file: Path, added: object, tokens: Sequence[str]) -> None:
    """Tokens beside the vocabulary would get ids that nothing here knows of."""
    known = set(tokens)
    for entry in added if isinstance(added, list) else []:
        token = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(token, str) or token not in known:
            raise BertsmithError(f"{file}: added_tokens names {token!r}, which model.vocab does not hold")


def part(file: Path, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table within a tokenizer.json; BertsmithError naming it where it is missing."""
    found = values.get(key)
    if not isinstance(found, dict):
        raise BertsmithError(f"{file}: has no {key}, so it is not a tokenizer of a known model")
    return found


def _expect(file: Path, key: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise BertsmithError(f"{file}: {key} is {found!r}; only BERT's {wanted!r} can be used")


def in_order(file: Path, vocabulary: object) -> list[str]:
    """Tokens by id, which must be 0 to n - 1."""
    if not isinstance(vocabulary, dict) or len(vocabulary) > MOST_TOKENS:
        raise BertsmithError(f"{file}: model.vocab must be a table of at most {MOST_TOKENS} tokens")
    tokens: list[str] = [""] * len(vocabulary)
    for token, number in vocabulary.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(tokens) or tokens[number]:
            raise BertsmithError(f"{file}: the id {number!r} of {token!r} is taken or outside 0 to {len(tokens) - 1}")
        tokens[number] = token
    if "" in tokens:
        raise BertsmithError(f"{file}: model.vocab holds an empty token")
    return tokens


def build_backend(tokens: Sequence[str], lowercase: bool, strip_accents: bool | None) -> Backend:
    """The same tokenizer in the `tokenizers` library: for offsets and for writing tokenizer.json."""
    ids = {token: i for i, token in enumerate(tokens)}
    model = models.WordPiece(
        ids, unk_token="[UNK]", continuing_subword_prefix=CONTINUATION, max_input_chars_per_word=LONGEST_WORD
    )
    backend = Backend(model)
    backend.normalizer = normalizers.BertNormalizer(  # type: ignore[assignment]
        clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    backend.decoder = decoders.WordPiece(prefix=CONTINUATION)  # type: ignore[assignment]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return backend


def write(
    path: Path,
    tokens: Sequence[str],
    lowercase: bool,
    strip_accents: bool,
    special: Sequence[str],
    max_length: int,
    added: int = 0,
) -> None:
    """vocab.txt, tokenizer.json and tokenizer_config.json, the same bytes for the same tokenizer."""
    # Like the published files: null follows the casing, also when a user decides on another one.
    accents = None if strip_accents == lowercase else strip_accents
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": accents,
        "tokenize_chinese_chars": True,
        "model_max_length": max_length,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    } | ({ADDED: added} if added else {})
    backend = build_backend(tokens, lowercase, accents)
    backend.add_special_tokens(list(special))
    write_atomic(path / "vocab.txt", "".join(f"{token}\n" for token in tokens).encode())
    write_atomic(path / "tokenizer.json", backend.to_str(pretty=True).encode())
    write_atomic(path / "tokenizer_config.json", (json.dumps(settings, indent=2) + "\n").encode())
