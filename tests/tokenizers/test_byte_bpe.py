from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tokenizers.byte_bpe import ByteBPETokenizer
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training_bytes import count_byte_words, train_byte_bpe

LINES = [
    "Hello there, the 12 players don't play.",
    "the cat, the hat and the players",
    "今天老師馬上點名 DOTA 😀",
    "naïve",
]


def trained(lines: list[str] = LINES, size: int = 300) -> ByteBPETokenizer:
    counts: Counter[str] = Counter()
    count_byte_words(lines * 3, counts)
    return train_byte_bpe(counts, size)


def test_ids_do_not_depend_on_the_order_of_the_text() -> None:
    assert len({trained(lines).fingerprint for lines in (LINES, LINES[::-1])}) == 1
    tokenizer = trained()
    assert tokenizer.tokens[:4] == ["<s>", "<pad>", "</s>", "<unk>"] and tokenizer.tokens[-1] == "<mask>"
    assert tokenizer.special == (1, 3, 0, 2, tokenizer.vocab_size - 1) and tokenizer.separators == 2


def test_text_comes_back() -> None:
    tokenizer = trained()
    encoding = tokenizer.encode_sentences(LINES)
    parts = np.split(encoding.token_ids, np.cumsum(encoding.lengths)[:-1])
    assert [tokenizer.decode(part) for part in parts] == LINES
    assert tokenizer.special.unk not in encoding.token_ids


def test_words_begin_where_a_reader_sees_them() -> None:
    tokenizer = trained(size=261)  # bytes alone
    for text, count in (("ab cd12,", 4), ("老師馬上點名", 3), ("今天😀", 2), ("naïve", 1)):
        encoding = tokenizer.encode_sentences([text])
        assert encoding.word_starts.sum() == count and encoding.word_starts[0] == 1
        assert not encoding.misaligned.any()
        assert tokenizer.encode_with_offsets(text)[1].tolist() == encoding.word_starts.tolist()


def test_a_special_token_in_a_text_is_text() -> None:
    tokenizer = trained()
    assert tokenizer.special.mask not in tokenizer.encode_sentences(["a <mask> b"]).token_ids
    ids, _, offsets = tokenizer.encode_with_offsets("the <mask>.", specials=True)
    place = ids.tolist().index(tokenizer.special.mask)
    assert offsets[place].tolist() == [4, 10]


@pytest.mark.parametrize("part", ["", "vocab.json", "merges.txt", "tokenizer.json"])
def test_saved_and_loaded(tmp_path: Path, part: str) -> None:
    trained().save(tmp_path, 128)
    assert Tokenizer.load(tmp_path / part).fingerprint == trained().fingerprint


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    trained().save(tmp_path, 128)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(BertsmithError, match="merges.txt:2: a merge must be two pieces"):
        Tokenizer.load(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n# %\n")
    with pytest.raises(BertsmithError, match="merge 1"):
        Tokenizer.load(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(UsageError, match="goes with merges.txt"):
        Tokenizer.load(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 5}))
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(BertsmithError, match="the id 5 of 'a'"):
        Tokenizer.load(tmp_path)


def test_sizes_without_room() -> None:
    with pytest.raises(UsageError, match="tokenizer.size: 260"):
        trained(size=260)
