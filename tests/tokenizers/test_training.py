from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertsmith import interrupt
from bertsmith.errors import Stopped, UsageError
from bertsmith.tokenizers import training
from bertsmith.tokenizers.merges import MergeLearner
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from bertsmith.tokenizers.training import count_words, train_wordpiece

SYLLABLES = "ba be bo da de di do ga go ka ke ki la le li lo ma mi mo na ne no ra ri ro sa se si ta te ti to".split()


def made_up_counts(words: int = 400, seed: int = 0) -> Counter[str]:
    """Words of made-up syllables, the earlier ones far more frequent."""
    generator = random.Random(seed)
    made = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 5))) for _ in range(words)]
    return Counter({word: 1 + 20 * words // (rank + 1) for rank, word in enumerate(made)})


def counted(*sentences: str, lowercase: bool = True) -> Counter[str]:
    counts: Counter[str] = Counter()
    count_words(sentences, lowercase, counts)
    return counts


def test_words_are_counted_as_the_tokenizer_will_see_them() -> None:
    assert counted("Hello, hello World!", "CAFÉ 今天今 1990s") == Counter(
        {"hello": 2, ",": 1, "world": 1, "!": 1, "cafe": 1, "今": 2, "天": 1, "1990s": 1}
    )
    assert counted("Hello Café", lowercase=False) == Counter({"Hello": 1, "Café": 1})
    assert counted("a" * 101, "\u200b", "") == Counter()


@given(st.lists(st.text(max_size=30), max_size=6), st.booleans())
def test_counting_in_parts_is_counting_at_once(sentences: list[str], lowercase: bool) -> None:
    parts: Counter[str] = Counter()
    for sentence in reversed(sentences):
        count_words([sentence], lowercase, parts)
    assert parts == counted(*sentences, lowercase=lowercase)


def slow_merges(words: dict[str, int], most: int) -> list[str]:
    """Byte-pair encoding as one would write it down: count all pairs anew for every merge."""
    chains = {word: [word[0], *(f"##{c}" for c in word[1:])] for word in words}
    alphabet = sorted({piece for chain in chains.values() for piece in chain})
    order = {piece: i for i, piece in enumerate(alphabet)}
    learned: list[str] = []
    while len(learned) < most:
        pairs: dict[tuple[str, str], int] = defaultdict(int)
        for word, chain in chains.items():
            for pair in zip(chain, chain[1:], strict=False):
                pairs[pair] += words[word]
        if not pairs:
            break
        left, right = min(pairs, key=lambda p: (-pairs[p], order[p[0]], order[p[1]]))
        joined = left + right.removeprefix("##")
        if joined not in order:
            order[joined] = len(order)
            learned.append(joined)
        for chain in chains.values():
            i = 0
            while i + 1 < len(chain):
                if (chain[i], chain[i + 1]) == (left, right):
                    chain[i : i + 2] = [joined]
                i += 1
    return learned


@settings(max_examples=200)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 5), min_size=1, max_size=12))
def test_merges_equal_the_plain_algorithm(words: dict[str, int]) -> None:
    alphabet = sorted({word[0] for word in words} | {f"##{c}" for word in words for c in word[1:]})
    learned = MergeLearner(alphabet, words.items()).learn(20, least_count=1)
    assert list(learned) == slow_merges(words, 20)


def test_merges_stop_at_rare_pairs_and_at_a_signal() -> None:
    learner = MergeLearner(["a", "##b", "##c"], [("ab", 5), ("ac", 1)])
    assert learner.learn(10, least_count=2) == {"ab": 5}
    counts = made_up_counts(2000)
    interrupt._request(15, None)
    with pytest.raises(Stopped):
        train_wordpiece(counts, 2000, True)


def test_the_layout_of_a_vocabulary() -> None:
    tokenizer = train_wordpiece(made_up_counts(), 300, True)
    letters = sorted({c for syllable in SYLLABLES for c in syllable})
    assert tokenizer.vocab_size == 300
    assert tokenizer.tokens[:5] == list(SPECIAL_TOKENS)
    assert tokenizer.tokens[5 : 5 + len(letters)] == letters
    assert tokenizer.tokens[5 + len(letters) : 5 + 2 * len(letters)] == [f"##{letter}" for letter in letters]
    assert all(len(token.removeprefix("##")) > 1 for token in tokenizer.tokens[5 + 2 * len(letters) :])


@given(st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_order_of_the_counts_does_not_matter(generator: random.Random) -> None:
    items = list(made_up_counts(100).items())
    generator.shuffle(items)
    assert train_wordpiece(dict(items), 200, True).tokens == train_wordpiece(made_up_counts(100), 200, True).tokens


def test_other_processes_train_the_same_tokenizer() -> None:
    program = (
        "from collections import Counter\n"
        "from bertsmith.tokenizers.training import count_words, train_wordpiece\n"
        "counts = Counter()\n"
        "count_words(['to be or not to be that is the question 今天天气'] * 3, True, counts)\n"
        "print(train_wordpiece(counts, 60, True).fingerprint)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, env={"PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in range(3)
    }
    assert len(found) == 1


def test_a_smaller_text_gives_a_smaller_vocabulary() -> None:
    tokenizer = train_wordpiece(counted("to be or not to be"), 1000, True)
    assert tokenizer.vocab_size < 30
    assert train_wordpiece(counted("to be or not to be"), "auto", True).tokens == tokenizer.tokens


def test_han_characters_are_never_merged() -> None:
    counts = counted(*["今天天气很好，我们去公园玩DOTA。"] * 100)
    tokenizer = train_wordpiece(counts, "auto", True)
    assert {"今", "天", "公", "园", "dota"} <= set(tokenizer.tokens)
    assert not any(len(token) > 1 and "天" in token for token in tokenizer.tokens)


def test_a_vocabulary_smaller_than_the_alphabet_keeps_the_most_frequent_characters() -> None:
    han = "".join(chr(0x4E00 + i) * (200 - i) for i in range(100))
    tokenizer = train_wordpiece(counted(han), 45, True)
    assert tokenizer.tokens[5:] == [chr(0x4E00 + i) for i in range(40)]
    latin = train_wordpiece(Counter({"abcdefghijklmnop" * 2: 3, "zz": 50}), 16, True)
    assert latin.vocab_size <= 16 and {"z", "##z", "zz"} <= set(latin.tokens)


def test_rare_characters_stay_outside() -> None:
    counts = made_up_counts()
    counts["ψ"] = 1
    assert "ψ" not in train_wordpiece(counts, 300, True).tokens
    counts["ψ"] = 10_000
    assert "ψ" in train_wordpiece(counts, 300, True).tokens


def test_the_automatic_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "AUTO_SIZES", (100, 200, 400, 800))
    counts = made_up_counts()
    sizes = {}
    for factor in (1, 3, 10, 1000):
        multiplied = {word: count * factor for word, count in counts.items()}
        tokenizer = train_wordpiece(multiplied, "auto", True)
        sizes[factor] = tokenizer.vocab_size
        # Cut from the largest, it is what training at this size alone would have given.
        assert tokenizer.tokens == train_wordpiece(multiplied, tokenizer.vocab_size, True).tokens
    assert sizes[1] < sizes[10] <= sizes[1000] and set(sizes.values()) <= {100, 200, 400, 800}


def test_the_automatic_size_has_room_for_every_han_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "AUTO_SIZES", (100, 200, 400))
    tokenizer = train_wordpiece({chr(0x4E00 + i): 5 for i in range(150)}, "auto", True)
    assert tokenizer.vocab_size == 155


@pytest.mark.parametrize(("counts", "size"), [({}, 100), ({"a": 1}, 5)])
def test_what_cannot_be_trained(counts: dict[str, int], size: int) -> None:
    with pytest.raises(UsageError):
        train_wordpiece(counts, size, True)


def test_a_trained_tokenizer_covers_its_text() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    tokenizer = train_wordpiece(counted(text), 200, True)
    encoding = tokenizer.encode_sentences([text])
    assert tokenizer.special.unk not in encoding.token_ids
    assert tokenizer.decode(encoding.token_ids) == text
    assert isinstance(tokenizer, Tokenizer)
