"""The ids of byte-level BPE and unigram are those of transformers' RobertaTokenizer and AlbertTokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AlbertTokenizer, AutoTokenizer, CamembertTokenizer, RobertaTokenizer, XLMRobertaTokenizer

from bertsmith.tokenizers.byte_bpe import ByteBPETokenizer
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.unigram import UnigramTokenizer
from tests.tokenizers import test_unigram
from tests.tokenizers.test_byte_bpe import LINES, trained


def ids_of_ours(tokenizer: Tokenizer, lines: list[str]) -> list[list[int]]:
    encoding = tokenizer.encode_sentences(lines)
    return [part.tolist() for part in np.split(encoding.token_ids, np.cumsum(encoding.lengths)[:-1])]


def test_a_trained_byte_bpe_is_loaded_by_auto_tokenizer(tmp_path: Path) -> None:
    ours = trained()
    ours.save(tmp_path, 128)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(theirs, RobertaTokenizer)
    lines = [*LINES, "", " a", "a  b\t c", "<mask> [MASK] </s>"]
    found = theirs(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert ids_of_ours(ours, lines) == found
    text = "the <mask>, 今天<mask>"
    assert theirs(text)["input_ids"][1:-1] == ours.encode_with_offsets(text, specials=True)[0].tolist()


@pytest.mark.parametrize("corpus", ["en_small", "zh_small"])
@pytest.mark.parametrize("name", ["roberta-base-merges.txt", "albert-base-v2-spiece.model"])
def test_published_vocabularies_on_real_text(shared_data: Path, tmp_path: Path, name: str, corpus: str) -> None:
    ours = Tokenizer.load(shared_data / "vocab" / name)
    if isinstance(ours, ByteBPETokenizer):
        theirs = RobertaTokenizer(vocab={token: i for i, token in enumerate(ours.tokens)}, merges=ours.merges)  # pyright: ignore[reportArgumentType]
    else:
        assert isinstance(ours, UnigramTokenizer)
        table = ours.spelling.charsmap
        theirs = AlbertTokenizer(vocab=ours.pieces, _spm_precompiled_charsmap=table)  # pyright: ignore[reportArgumentType]
    lines = (shared_data / "corpora" / corpus / "valid.txt").read_text("utf-8").split("\n")[:600]
    assert ids_of_ours(ours, lines) == theirs(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ours.save(tmp_path, 128)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is type(theirs)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint
    some = lines[:100]
    assert ids_of_ours(again, some) == loaded(some, add_special_tokens=False, split_special_tokens=True)["input_ids"]


# A special token spelled out in a text is text for us, and for unigram classes a piece like any other: not compared.


def test_a_trained_unigram_is_loaded_by_auto_tokenizer(tmp_path: Path) -> None:
    ours = test_unigram.trained()
    ours.save(tmp_path, 128)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(theirs, AlbertTokenizer) and len(theirs) == ours.vocab_size
    lines = [*test_unigram.LINES, *LINES, "", " a", "a  b\t c", "the ``cat'' ﬁ½", "'sat'll 12ab"]
    found = theirs(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert ids_of_ours(ours, lines) == found
    text = "the [MASK], 今天[MASK]"
    assert theirs(text)["input_ids"][1:-1] == ours.encode_with_offsets(text, specials=True)[0].tolist()


PIECES = [
    ("▁the", -2.0),
    ("▁", -3.0),
    ("cat", -3.5),
    ("s", -4.0),
    ("▁ca", -4.5),
    ("t", -5.0),
    (",", -4.0),
    ("今", -6.0),
]
XLMR = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
CAMEMBERT = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]
CAMEMBERT += [("<s>", 0.0), ("</s>", 0.0)]


@pytest.mark.parametrize(("kind", "first"), [(XLMRobertaTokenizer, XLMR), (CamembertTokenizer, CAMEMBERT)])
def test_folders_of_roberta_with_sentencepiece(tmp_path: Path, kind: Any, first: list[tuple[str, float]]) -> None:
    kind(vocab=[*first, *PIECES, ("<mask>", 0.0)]).save_pretrained(tmp_path / "theirs")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "theirs")
    ours = Tokenizer.load(tmp_path / "theirs")
    assert theirs.get_vocab() == {token: i for i, token in enumerate(ours.tokens)}
    special = (theirs.pad_token_id, theirs.unk_token_id, theirs.cls_token_id, theirs.sep_token_id, theirs.mask_token_id)
    assert ours.special == special and ours.separators == 2
    lines = ["the cats, the cat", "  the   cats", "今 cats é", ""]
    assert ids_of_ours(ours, lines) == theirs(lines, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    ours.save(tmp_path, 128)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(again, kind)
    assert again("the <mask>", "cats")["input_ids"] == theirs("the <mask>", "cats")["input_ids"]
    assert Tokenizer.load(tmp_path).fingerprint == ours.fingerprint
