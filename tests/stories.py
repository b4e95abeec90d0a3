"""A tokenizer, a model and text that fit each other, for tests that ask a model about words."""

from __future__ import annotations

from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import Model, build_model
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer

WORDS = "the cat sat on a mat and dog ran over hill then it was very late at night so they went home".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HAN = "今天我们玩上学校老师马点名的"


def tiny_tokenizer() -> Tokenizer:
    """About a hundred tokens: the words above, letters, continuing letters, some Chinese characters, punctuation."""
    pieces = [f"##{letter}" for letter in LETTERS]
    return WordPieceTokenizer(
        list(dict.fromkeys([*SPECIAL_TOKENS, *WORDS, *LETTERS, *pieces, *HAN, *".,!?[]"])), lowercase=True
    )


def tiny_model(
    tokenizer: Tokenizer,
    heads: tuple[str, ...] = ("masked_lm", "pair"),
    positions: int = 64,
    seed: int = 0,
    extra_rows: int = 0,
) -> Model:
    """Two layers, 32 wide, with weights large enough that answers differ; counted as trained.

    `extra_rows`: word embeddings beyond the tokenizer's, as published matrices filled up to a round size have them.
    """
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size + extra_rows,
        hidden_size=32,
        layers=2,
        heads=2,
        max_positions=positions,
        dropout=0.0,
        attention_dropout=0.0,
        init_std=0.3,
    )
    model = build_model(config, heads, seed).eval()
    model.trained_heads = heads
    return model


def story(documents: int, sentences: int = 12) -> list[list[str]]:
    """Documents of different sentences of the words above: the same each time, without any generator."""
    count = len(WORDS)
    return [
        [
            " ".join(WORDS[(7 * d + 5 * s + w * (1 + (d + s) % 3)) % count] for w in range(4 + (d * 3 + s) % 6)) + " ."
            for s in range(sentences)
        ]
        for d in range(documents)
    ]
