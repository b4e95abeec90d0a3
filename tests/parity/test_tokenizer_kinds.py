"""The ids of byte-level BPE and unigram are those of transformers' RobertaTokenizer and AlbertTokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AlbertTokenizer, AutoTokenizer, RobertaTokenizer

from bertsmith.tokenizers.byte_bpe import ByteBPETokenizer
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.unigram import UnigramTokenizer
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
