from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tokenizers import folder
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.tokenizers.vocabulary import small_tokenizer, small_tokens


def write_vocabulary(path: Path, tokens: list[str], end: str = "\n") -> Path:
    path.write_bytes("".join(token + end for token in tokens).encode())
    return path


def edit(path: Path, change: dict[str, Any]) -> None:
    """Set values of a JSON file by dotted keys."""
    values = json.loads(path.read_text())
    for key, value in change.items():
        *parents, last = key.split(".")
        part = values
        for parent in parents:
            part = part[parent]
        part[last] = value
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("part", ["", "tokenizer.json", "vocab.txt"])
def test_saved_and_loaded(tmp_path: Path, lowercase: bool, part: str) -> None:
    tokenizer = small_tokenizer(lowercase)
    tokenizer.save(tmp_path, 128)
    loaded = Tokenizer.load(tmp_path / part, None if part != "vocab.txt" else lowercase)
    assert loaded.fingerprint == tokenizer.fingerprint
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    loaded.save(tmp_path, 128)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == first
    assert sorted(first) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert json.loads(first["tokenizer_config.json"])["model_max_length"] == 128


@pytest.mark.parametrize(
    ("entries", "lowercase"),
    [
        (["hello", "[unused0]", "<S>", "今"], True),
        (["hello", "Hello"], False),
        (["hello", "##S"], False),
        (["[", "É"], False),
    ],
)
def test_the_casing_of_a_bare_vocabulary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], entries: list[str], lowercase: bool
) -> None:
    path = write_vocabulary(tmp_path / "vocab.txt", [*SPECIAL_TOKENS, *entries])
    assert Tokenizer.load(path).lowercase is lowercase
    assert ("lower-cased" if lowercase else "case is kept") in capsys.readouterr().err
    assert Tokenizer.load(path, not lowercase).lowercase is not lowercase
    assert capsys.readouterr().err == ""


def test_a_folder_says_its_casing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_vocabulary(tmp_path / "vocab.txt", small_tokens())
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "strip_accents": false}')
    tokenizer = Tokenizer.load(tmp_path)
    assert isinstance(tokenizer, WordPieceTokenizer)
    assert tokenizer.lowercase and not tokenizer.strip_accents
    assert capsys.readouterr().err == ""


def test_another_casing_than_the_saved_one(tmp_path: Path) -> None:
    small_tokenizer(lowercase=True).save(tmp_path, 128)
    assert Tokenizer.load(tmp_path, lowercase=False).fingerprint == small_tokenizer(lowercase=False).fingerprint
    WordPieceTokenizer(small_tokens(), True, strip_accents=False).save(tmp_path, 128)
    loaded = Tokenizer.load(tmp_path)
    assert isinstance(loaded, WordPieceTokenizer) and not loaded.strip_accents


def test_two_files_that_disagree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_tokenizer(lowercase=True).save(tmp_path, 128)
    edit(tmp_path / "tokenizer_config.json", {"do_lower_case": False})
    assert Tokenizer.load(tmp_path).lowercase
    assert "do_lower_case in tokenizer_config.json is not" in capsys.readouterr().err


def test_lines_of_a_vocabulary_end_with_newlines_only(tmp_path: Path) -> None:
    tokens = [*SPECIAL_TOKENS, "a\u2028", "\x85", " ", "b"]
    assert Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt", tokens), True).tokens == tokens
    windows = write_vocabulary(tmp_path / "windows.txt", ["\ufeff[PAD]", *tokens[1:]], "\r\n")
    assert Tokenizer.load(windows, True).tokens == tokens


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds 0 tokens"),
        (b"[PAD]\n\n[UNK]\n", "vocab.txt:2: an empty line"),
        (b"[PAD]\n\xff\n", "is not UTF-8"),
        (b"a\nb\n", r"the vocabulary lacks \[PAD\], \[UNK\]"),
        ("\n".join([*SPECIAL_TOKENS, "a", "a"]).encode(), "holds 'a' more than once"),
    ],
)
def test_vocabularies_that_cannot_be_used(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(data)
    with pytest.raises(BertsmithError, match=message) as caught:
        Tokenizer.load(tmp_path / "vocab.txt")
    assert "vocab.txt" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.type": "WordLevel"}, "model.type is 'WordLevel'; only BERT's 'WordPiece'"),
        ({"model.unk_token": "<unk>"}, "model.unk_token"),
        ({"model.vocab": ["a"]}, "model.vocab must be a table"),
        ({"model.vocab": {"a": 7}}, "the id 7 of 'a' is taken or outside 0 to 0"),
        ({"model.vocab": {"a": 0, "b": 0}}, "the id 0 of 'b' is taken"),
        ({"model.vocab": {"a": "0"}}, "the id '0' of 'a'"),
        ({"model.vocab": {"": 0}}, "an empty token"),
        ({"added_tokens": [], "model.vocab": {"half \ud83d": 0}}, "holds a newline or half a character"),
        ({"added_tokens": [], "model.vocab": {"two\nlines": 0}}, "holds a newline or half a character"),
        ({"model": None}, "has no model"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "(a+)+$"}}}, "normalizer.type is 'Replace'"),
        ({"normalizer.lowercase": "yes"}, "lowercase must be true, false or null"),
        ({"normalizer.handle_chinese_chars": False}, "handle_chinese_chars"),
        ({"pre_tokenizer": {"type": "Split"}}, "pre_tokenizer.type"),
        ({"added_tokens": [{"id": 999, "content": "<new>"}]}, "added_tokens names '<new>'"),
        ({"added_tokens": [{"id": 999, "content": ["x"]}]}, "added_tokens names"),
    ],
)
def test_tokenizer_files_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    small_tokenizer().save(tmp_path, 128)
    edit(tmp_path / "tokenizer.json", change)
    with pytest.raises(BertsmithError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, "\x00"])
def test_json_that_is_none(tmp_path: Path, name: str, text: str) -> None:
    small_tokenizer().save(tmp_path, 128)
    (tmp_path / name).write_text(text)
    with pytest.raises(BertsmithError, match=f"/{name}: (is not JSON|must hold one JSON object)"):
        Tokenizer.load(tmp_path)


def test_missing_and_foreign_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no such file or folder"):
        Tokenizer.load(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds neither tokenizer.json nor vocab.txt"):
        Tokenizer.load(tmp_path)
    os.mkfifo(tmp_path / "vocab.txt")
    with pytest.raises(BertsmithError, match="is not a regular file"):
        Tokenizer.load(tmp_path / "vocab.txt")
    monkeypatch.setattr(folder, "LARGEST_FILE", 10)
    with pytest.raises(BertsmithError, match="too large"):
        Tokenizer.load(write_vocabulary(tmp_path / "large.txt", small_tokens()))
