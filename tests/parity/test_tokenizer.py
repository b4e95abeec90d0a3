"""Our ids are those of transformers' BertTokenizer.

One difference is wanted: BertTokenizer turns a literal "[SEP]" in a text into the special token. Text of a corpus is
only text, so the comparison asks BertTokenizer to do the same (`split_special_tokens`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizer

from bertsmith.tokenizers.tokenizer import Tokenizer
from tests.tokenizers.vocabulary import small_tokenizer, small_tokens

PARTS = st.one_of(
    st.sampled_from(
        ["Hello", "players", " ", " ", "\n", "naïve", "CAFÉ", "don't", "2.5%", "[SEP]", "今天", "老師", "。"]
    ),
    st.text(max_size=8),
)
TEXT = st.lists(PARTS, max_size=20).map("".join)


def published(tokens: list[str], lowercase: bool) -> BertTokenizer:
    return BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, do_lower_case=lowercase)


def ids_of_peer(peer: BertTokenizer, lines: list[str]) -> list[list[int]]:
    return peer(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def ids_of_ours(tokenizer: Tokenizer, lines: list[str]) -> list[list[int]]:
    encoding = tokenizer.encode_sentences(lines)
    return [part.tolist() for part in np.split(encoding.token_ids, np.cumsum(encoding.lengths)[:-1])]


PAIRS = {lowercase: (small_tokenizer(lowercase), published(small_tokens(), lowercase)) for lowercase in (True, False)}


@pytest.mark.parametrize("lowercase", [True, False])
@settings(max_examples=200, deadline=None)
@given(lines=st.lists(TEXT, min_size=1, max_size=4))
def test_generated_text(lowercase: bool, lines: list[str]) -> None:
    ours, theirs = PAIRS[lowercase]
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    assert ids_of_ours(ours, lines) == ids_of_peer(theirs, lines)


@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character(lowercase: bool) -> None:
    """Each character within a word, so that what is dropped, split off or changed shows."""
    ours, theirs = PAIRS[lowercase]
    codes = [*range(0x3400), *range(0x4DB0, 0x4E10), *range(0x9FF0, 0xD800, 9), *range(0xF8F0, 0x20010, 5)]
    lines = [f"a{chr(code)}o" for code in codes]
    assert ids_of_ours(ours, lines) == ids_of_peer(theirs, lines)


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_saved_folder_is_loaded_by_auto_tokenizer(tmp_path: Path, lowercase: bool) -> None:
    tokenizer = small_tokenizer(lowercase)
    tokenizer.save(tmp_path, 128)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, BertTokenizer)
    assert loaded.model_max_length == 128 and loaded.do_lower_case is lowercase
    assert loaded.get_vocab() == {token: i for i, token in enumerate(tokenizer.tokens)}
    special = tokenizer.special
    assert (loaded.pad_token_id, loaded.unk_token_id, loaded.cls_token_id) == (special.pad, special.unk, special.cls)
    assert (loaded.sep_token_id, loaded.mask_token_id) == (special.sep, special.mask)
    text = "Hello players, CAFÉ 今天[MASK]!"
    ids, _, offsets = tokenizer.encode_with_offsets(text, specials=True)
    theirs = loaded(text, return_offsets_mapping=True)
    assert theirs["input_ids"] == [special.cls, *ids.tolist(), special.sep]
    assert theirs["offset_mapping"][1:-1] == [tuple(pair) for pair in offsets.tolist()]
    pair = loaded("the players", "!")
    assert pair["token_type_ids"] == [0, 0, 0, 0, 0, 1, 1]


def test_a_folder_saved_by_transformers_is_loaded(tmp_path: Path) -> None:
    for lowercase in (True, False):
        published(small_tokens(), lowercase).save_pretrained(tmp_path / str(lowercase))
        assert Tokenizer.load(tmp_path / str(lowercase)).fingerprint == small_tokenizer(lowercase).fingerprint


@pytest.mark.parametrize("corpus", ["en_small", "zh_small", "zh_hant_small"])
@pytest.mark.parametrize(("name", "lowercase"), [("uncased", True), ("cased", False), ("chinese", True)])
def test_real_text_with_published_vocabularies(shared_data: Path, corpus: str, name: str, lowercase: bool) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / f"bert-base-{name}-vocab.txt")
    assert tokenizer.lowercase is lowercase
    peer = published(tokenizer.tokens, lowercase)
    lines = (shared_data / "corpora" / corpus / "valid.txt").read_text("utf-8").split("\n")
    assert ids_of_ours(tokenizer, lines) == ids_of_peer(peer, lines)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["en_small", "zh_small", "zh_hant_small"])
@pytest.mark.parametrize("name", ["uncased", "cased", "chinese"])
def test_every_line_of_real_text(shared_data: Path, corpus: str, name: str) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / f"bert-base-{name}-vocab.txt")
    peer = published(tokenizer.tokens, tokenizer.lowercase)
    for part in ("train.txt", "valid.txt"):
        lines = (shared_data / "corpora" / corpus / part).read_bytes().decode().split("\n")
        for start in range(0, len(lines), 5000):
            some = lines[start : start + 5000]
            assert ids_of_ours(tokenizer, some) == ids_of_peer(peer, some)
