from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import BertsmithError
from bertsmith.text import words
from bertsmith.text.han import is_han
from bertsmith.tokenizers import chunks
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, SpecialIds, Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.tokenizers.vocabulary import small_tokenizer, small_tokens

# Text in which the pieces of the small vocabulary turn up, among any other characters.
TEXT = st.lists(
    st.one_of(
        st.sampled_from(["hello", "Players", " ", " ", ", ", "naïve", "CAFÉ", "[MASK]", "今天", "老師", "馬上", "点"]),
        st.sampled_from(["é", "e\u0301", "\u0301", "İ", "ẞ", "Σ", "\u200b", "\x00", "\x85", "\u3000", "한", "😀"]),
        st.characters(),
    ),
    max_size=30,
).map("".join)


def pieces_and_words(tokenizer: Tokenizer, text: str) -> list[list[str]]:
    """The tokens of a text, grouped into words."""
    encoding = tokenizer.encode_sentences([text])
    groups: list[list[str]] = []
    for token_id, start in zip(encoding.token_ids, encoding.word_starts, strict=True):
        if start:
            groups.append([])
        groups[-1].append(tokenizer.id_to_token(int(token_id)))
    return groups


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("   ", []),
        ("Hello, WORLD!", [["hello"], [","], ["world"], ["!"]]),
        ("the players playing", [["the"], ["player", "##s"], ["play", "##ing"]]),
        ("don't", [["d", "##o", "##n"], ["'"], ["t"]]),
        ("2.5% of 1000", [["2"], ["."], ["5"], ["%"], ["[UNK]"], ["10", "##0", "##0"]]),
        ("CAFÉ naïve", [["cafe"], ["naive"]]),
        ("xyz hello", [["[UNK]"], ["hello"]]),
        ("今天玩DOTA", [["今", "天"], ["玩"], ["dota"]]),
        ("老師馬上點名。", [["老", "師"], ["馬", "上"], ["點", "名"], ["。"]]),
        ("今 天", [["今"], ["天"]]),
        ("今天,今天", [["今", "天"], [","], ["今", "天"]]),
        ("天地我", [["天", "[UNK]"], ["我"]]),
        ("hello今天world", [["hello"], ["今", "天"], ["world"]]),
        ("😀今天", [["[UNK]"], ["今", "天"]]),
        ("[MASK] [SEP]", [["["], ["mask"], ["]"], ["["], ["sep"], ["]"]]),
        ("a\x00b \ud800c", [["[UNK]"], ["c"]]),
    ],
)
def test_pieces_and_words(text: str, wanted: list[list[str]]) -> None:
    assert pieces_and_words(small_tokenizer(), text) == wanted


def test_a_cased_vocabulary() -> None:
    tokenizer = small_tokenizer(lowercase=False)
    assert pieces_and_words(tokenizer, "Hello hello HELLO é") == [["Hello"], ["hello"], ["[UNK]"], ["é"]]


def test_accents_apart_from_case() -> None:
    assert pieces_and_words(WordPieceTokenizer(small_tokens(), True, strip_accents=False), "É CAFÉ") == [
        ["é"],
        ["[UNK]"],
    ]
    assert pieces_and_words(WordPieceTokenizer(small_tokens(), False, strip_accents=True), "é Hello") == [
        ["e"],
        ["Hello"],
    ]


def test_types_and_lengths() -> None:
    encoding = small_tokenizer().encode_sentences(["hello world", "", "今天", "players"])
    assert encoding.lengths.tolist() == [2, 0, 2, 2]
    assert encoding.word_starts.tolist() == [1, 1, 1, 0, 1, 0]
    assert [a.dtype for a in encoding] == [np.uint32, np.uint8, np.int32, np.int32]
    empty = small_tokenizer().encode_sentences([])
    assert [len(a) for a in empty] == [0, 0, 0, 0]
    assert [a.dtype for a in empty] == [np.uint32, np.uint8, np.int32, np.int32]


@given(st.lists(TEXT, max_size=5), st.booleans())
def test_the_two_ways_to_encode_agree(sentences: list[str], lowercase: bool) -> None:
    tokenizer = TOKENIZERS[lowercase]
    encoding = tokenizer.encode_sentences(sentences)
    single = [tokenizer.encode_with_offsets(sentence) for sentence in sentences]
    assert encoding.token_ids.tolist() == [i for ids, _, _ in single for i in ids.tolist()]
    assert encoding.word_starts.tolist() == [s for _, starts, _ in single for s in starts.tolist()]
    assert encoding.lengths.tolist() == [len(ids) for ids, _, _ in single]


TOKENIZERS = {lowercase: small_tokenizer(lowercase) for lowercase in (True, False)}


@given(TEXT)
def test_literal_special_tokens_stay_plain_text(text: str) -> None:
    tokenizer = TOKENIZERS[False]
    ids = set(tokenizer.encode_sentences([f"[MASK]{text} [SEP][PAD]"]).token_ids.tolist())
    assert ids.isdisjoint(set(tokenizer.special) - {tokenizer.special.unk})


@given(TEXT)
def test_words_of_han_are_those_of_the_segmenter(text: str) -> None:
    """Every word start inside Han text lies on a boundary of the segmenter, and every boundary starts a word."""
    ids, starts, offsets = TOKENIZERS[True].encode_with_offsets(text)
    boundaries = set(np.cumsum([0, *map(len, words.segment(text))]).tolist())
    for i in range(1, len(ids)):
        begin, end = offsets[i].tolist()
        neighbours = offsets[i - 1, 1] == begin and is_han(text[begin - 1]) and end == begin + 1 and is_han(text[begin])
        if neighbours:
            assert bool(starts[i]) == (begin in boundaries)


def test_another_segmenter() -> None:
    encoding = small_tokenizer().encode_sentences(["今天玩"], segment=words.segment_characters)
    assert encoding.word_starts.tolist() == [1, 1, 1]
    with pytest.raises(BertsmithError, match="do not add up"):
        small_tokenizer().encode_sentences(["今天玩", "今天"], segment=lambda text: ["今天"])
    with pytest.raises(BertsmithError, match="do not add up"):
        small_tokenizer().encode_sentences(["今天玩"], segment=lambda text: [])


def test_offsets_and_typed_special_tokens() -> None:
    tokenizer = small_tokenizer()
    text = "今天[MASK]玩 CAFÉ [SEP]"
    ids, starts, offsets = tokenizer.encode_with_offsets(text, specials=True)
    assert [text[a:b] for a, b in offsets] == ["今", "天", "[MASK]", "玩", "CAFÉ", "[SEP]"]
    assert ids[2] == tokenizer.special.mask and ids[5] == tokenizer.special.sep
    assert starts.tolist() == [1, 0, 1, 1, 1, 1]
    assert tokenizer.special.mask not in tokenizer.encode_with_offsets(text)[0]


def test_a_full_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [f"hello player{i} 今天 {'a' * i}s, world" for i in range(50)]
    whole = small_tokenizer().encode_sentences(sentences)
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 7)
    tokenizer = small_tokenizer()
    parts = [tokenizer.encode_sentences([sentence]) for sentence in sentences]
    assert np.concatenate([p.token_ids for p in parts]).tolist() == whole.token_ids.tolist()
    assert np.concatenate([p.word_starts for p in parts]).tolist() == whole.word_starts.tolist()
    assert len(tokenizer._cache) < 20


def test_many_processes_share_the_bounds_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 400)
    sizes = []
    for processes in (1, 40):
        tokenizer = small_tokenizer()
        tokenizer.share_cache(processes)
        for i in range(200):
            tokenizer.encode_sentences([f"player{i}"])
        sizes.append(len(tokenizer._cache))
    assert sizes[0] == 200 and sizes[1] <= 41


def test_a_pickled_tokenizer_is_the_same_without_its_cache() -> None:
    tokenizer = small_tokenizer(lowercase=False)
    tokenizer.encode_sentences(["hello " * 100, *(str(i) for i in range(5000))])
    data = pickle.dumps(tokenizer)
    again = pickle.loads(data)
    assert again.fingerprint == tokenizer.fingerprint and again.lowercase is False
    assert (
        again.encode_sentences(["Hello"]).token_ids.tolist() == tokenizer.encode_sentences(["Hello"]).token_ids.tolist()
    )
    assert len(data) < 5000


def test_fingerprints() -> None:
    one = small_tokenizer()
    assert one.fingerprint == small_tokenizer().fingerprint
    assert one.fingerprint != small_tokenizer(lowercase=False).fingerprint
    assert one.fingerprint != WordPieceTokenizer([*small_tokens(), "more"], True).fingerprint
    assert one.fingerprint != WordPieceTokenizer(small_tokens(), True, strip_accents=False).fingerprint


def test_tokens_and_ids() -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.special == SpecialIds(0, 1, 2, 3, 4)
    assert tokenizer.vocab_size == len(small_tokens())
    assert tokenizer.id_to_token(tokenizer.tokens.index("hello")) == "hello"
    for wrong in (-1, tokenizer.vocab_size):
        with pytest.raises(IndexError):
            tokenizer.id_to_token(wrong)


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("Hello, world! The players' hello.", "hello, world! the players' hello."),
        ("今天 玩DOTA。", "今天玩dota。"),
        ("(hello) 2.5%", "(hello) 2.5%"),
        ('don\'t "hello the" world - play', 'don\'t "hello the" world-play'),
        ("", ""),
    ],
)
def test_decode(text: str, decoded: str) -> None:
    tokenizer = small_tokenizer()
    assert tokenizer.decode(tokenizer.encode_sentences([text]).token_ids) == decoded


@pytest.mark.parametrize("word", ["a" * 10**6, "é" * 500_000, "\u0301\u0316" * 250_000, "漢" * 300_000])
def test_a_word_of_a_megabyte_takes_no_second(word: str) -> None:
    tokenizer = small_tokenizer()
    tokenizer.encode_sentences(["今"])  # load the segmenter
    start = time.process_time()
    tokenizer.encode_sentences([word])
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([*SPECIAL_TOKENS, "a", "b", "a"], "'a' more than once"),
        (["[PAD]", "[UNK]", "[CLS]", "a"], r"lacks \[SEP\], \[MASK\]"),
    ],
)
def test_unusable_vocabularies(tokens: list[str], message: str) -> None:
    with pytest.raises(BertsmithError, match=message):
        WordPieceTokenizer(tokens, True)
