"""Unigram training, and files that cannot be used."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.text.words import segment_characters
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training_unigram import MOST_COUNTED, _scaled, count_unigram_words, train_unigram
from bertsmith.tokenizers.unigram import UnigramTokenizer

LINES = [
    'The cat (and the dogs), sat on a mat: "playing" and played.',
    "Players play; the players don't sit on CAFÉ mats 1998 or 2001.",
    "老師馬上點名，我玩。",
]


def trained(lines: list[str] = LINES, size: int = 120) -> UnigramTokenizer:
    counts: Counter[str] = Counter()
    count_unigram_words(lines * 4, True, counts)
    return train_unigram(counts, size, True)


def test_words_are_counted_with_their_spaces() -> None:
    counts: Counter[str] = Counter()
    count_unigram_words(["the (Cat), don't \"É", "12ab 老師"], True, counts, segment_characters)
    expected = [" the", " (", "cat", "),", " don", "'", "t", ' "', "e", " 12", "ab", " 老", "師"]
    assert counts == Counter(expected)


def test_ids_do_not_depend_on_the_order_of_the_text() -> None:
    orders = [LINES, LINES[::-1], LINES[1:] + LINES[:1], LINES[2:] + LINES[:2], LINES[1::-1] + LINES[2:]]
    assert len({trained(order).model for order in orders}) == 1
    tokenizer = trained()
    assert tokenizer.tokens[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.vocab_size <= 120 and tokenizer.lowercase


def test_the_library_reads_the_model_as_we_do() -> None:
    tokenizer = trained()
    theirs = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    for line in ("the  cats (sat), playing", " mat", "老師 the 12"):
        assert theirs.encode(line) == tokenizer.encode_sentences([line]).token_ids.tolist()


def test_a_vocabulary_larger_than_the_text_supports(capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(size=5000).vocab_size < 400
    assert "pieces, fewer than the 5,000 of tokenizer.size" in capsys.readouterr().err


def test_counts_of_a_large_text_are_scaled_in_proportion() -> None:
    scaled = dict(_scaled([("the", 30_000_000), ("cat", 10_000_000), ("mat", 10_000), ("rare", 3)]))
    assert scaled.pop("the") == pytest.approx(MOST_COUNTED * 0.75, rel=0.001)
    assert scaled == {"cat": pytest.approx(MOST_COUNTED * 0.25, rel=0.001), "mat": 1250}
    assert _scaled([("the", 3), ("cat", 1)]) == [("the", 3), ("cat", 1)]


def test_a_vocabulary_without_room_for_the_characters() -> None:
    with pytest.raises(UsageError, match="tokenizer.size: 16 cannot be trained"):
        trained(size=16)
    with pytest.raises(UsageError, match="no word"):
        train_unigram({}, 100, True)


def test_words_begin_where_a_reader_sees_them() -> None:
    tokenizer = trained()
    for text in ("the cat, don't 12ab", "'sat'play \"1998-2001\"", "a老師 b ''x`` CAFÉ", "caf\u00e9s 12", "x!?y"):
        encoding = tokenizer.encode_sentences([text])
        ids, starts, _ = tokenizer.encode_with_offsets(text)
        assert encoding.token_ids.tolist() == ids.tolist()
        assert encoding.word_starts.tolist() == starts.tolist()
    assert tokenizer.encode_sentences(["the cat, 12ab don't"]).word_starts.sum() == 8


def test_special_tokens_in_a_text_are_text() -> None:
    tokenizer = trained()
    assert tokenizer.special.mask not in tokenizer.encode_sentences(["the [MASK] cat"]).token_ids
    assert tokenizer.special.mask in tokenizer.encode_with_offsets("the [MASK] cat", specials=True)[0]


def test_saved_and_loaded(tmp_path: Path) -> None:
    trained().save(tmp_path, 128)
    for part in ("", "spiece.model", "tokenizer.json"):
        assert Tokenizer.load(tmp_path / part).fingerprint == trained().fingerprint


def test_model_files_that_are_cut_off_or_damaged(tmp_path: Path) -> None:
    whole = trained().model
    file = tmp_path / "spiece.model"
    draw = np.random.default_rng(0)
    contents = [b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", whole[: len(whole) // 2], b"{}" + whole, whole[1:]]
    for _ in range(40):
        flipped = bytearray(whole)
        flipped[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        contents.append(bytes(flipped))
    refused = 0
    for content in contents:
        file.write_bytes(content)
        try:
            Tokenizer.load(file).encode_sentences(["the ﬁsh, ½ cat"])
        except BertsmithError as error:
            refused += 1
            assert str(error).startswith(str(file)) and "\n" not in str(error)
    assert refused >= 6


def test_a_damaged_table_of_characters(tmp_path: Path) -> None:
    trained().save(tmp_path, 128)
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    table = next(step for step in values["normalizer"]["normalizers"] if step["type"] == "Precompiled")
    damaged = bytearray(base64.b64decode(table["precompiled_charsmap"]))
    damaged[4:400] = b"\x7f" * 396
    table["precompiled_charsmap"] = base64.b64encode(damaged).decode()
    file.write_text(json.dumps(values))
    with pytest.raises(BertsmithError, match="precompiled_charsmap is damaged"):
        Tokenizer.load(file)
