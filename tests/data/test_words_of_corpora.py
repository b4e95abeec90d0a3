"""Whose words a corpus marks: text cut by spaces, segmenters of the caller's own, words added to a vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest

from bertsmith import pipeline, store
from bertsmith.data.chunks import CountChunk, EncodeChunk
from bertsmith.data.corpus import KIND, Corpus
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import load_model, save_model
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.tiny_models import TINY, tiny_model
from tests.tokenizers.test_byte_bpe import trained as byte_bpe
from tests.tokenizers.vocabulary import small_tokenizer

SPACES = TextConfig(segmenter="spaces", sentences="line")


@pytest.mark.parametrize(
    "tokenizer", [small_tokenizer(), byte_bpe(["老師馬上點名玩"], 270)], ids=["wordpiece", "bytes"]
)
def test_spaces_mark_words_and_leave_no_trace_in_ids(tokenizer: Tokenizer) -> None:
    lines = ["老師馬上 點名", "我 玩 dota 2 。"]
    chunk = EncodeChunk(tokenizer, SPACES)([lines])
    plain = tokenizer.encode_sentences(["老師馬上點名", "我玩 dota 2。"])
    assert chunk.token_ids.tolist() == plain.token_ids.tolist()
    words = np.add.reduceat(chunk.word_starts, np.cumsum(chunk.sentence_lengths) - chunk.sentence_lengths)
    assert words.tolist() == [2, 5]


def test_equal_text_may_be_cut_in_two_ways() -> None:
    chunk = EncodeChunk(small_tokenizer(), SPACES)([["老師 馬上"], ["老師馬上"]])
    assert chunk.word_starts.tolist() == [1, 0, 1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("kind", ["byte_bpe", "unigram"])
def test_training_counts_the_words_of_the_segmenter(kind: Any) -> None:
    config = TokenizerConfig(kind=kind)
    assert len(CountChunk(config, TextConfig(segmenter="characters"))([["今天天气"]])) >= 3
    spaced = CountChunk(config, SPACES)([["今天天 气"]])
    assert spaced == CountChunk(config, TextConfig(), segment=lambda text: [text[:3], text[3:]])([["今天天气"]])
    assert len(spaced) == 2


def two_by_two(text: str) -> list[str]:
    return [text[i : i + 2] for i in range(0, len(text), 2)]


def prepare(folder: Path, lines: list[str], segmenter: Any = None, tokenizer: Any = None, **flags: Any) -> Path:
    folder.mkdir()
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    values = {"text.sentences": "line", "text.validation_share": 0.0} | flags
    out = folder / "corpus"
    pipeline.prepare("bert-tiny", [str(folder / "text.txt")], out, tokenizer, 1, values, segmenter)
    return out


def test_a_segmenter_of_the_callers_own(tmp_path: Path) -> None:
    out = prepare(tmp_path / "a", ["今天老師馬上點名。"], two_by_two)
    assert store.verify(out, KIND)["segmenter"].endswith("test_words_of_corpora.two_by_two")
    with pytest.raises(UsageError, match="text.segmenter"):
        flags = {"text.sentences": "line", "text.validation_share": 0.0}
        pipeline.prepare("bert-tiny", [str(tmp_path / "a" / "text.txt")], out, None, 1, flags)
    with pytest.raises(BertsmithError, match="do not add up to the sentence"):
        prepare(tmp_path / "b", ["今天。"], lambda text: [text[:1]])


# --- words added to a published vocabulary ----------------------------------------------------------------------

QUICK = {"training.compile": "off", "training.precision": "fp32", "training.workers": 0}
LINES = ["the cardiologist plays dota with unknown words", "a cardiologist and the player", ""] * 3


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    letters = [form for letter in ascii_lowercase for form in (letter, f"##{letter}")]
    tokenizer = WordPieceTokenizer(list(dict.fromkeys([*small_tokenizer().tokens, *letters])), True)
    config = replace(TINY, vocab_size=tokenizer.vocab_size, max_positions=128)
    save_model(tiny_model(config=config), folder, pad_token_id=0)
    tokenizer.save(folder, 128)
    return folder


def test_extended_vocabulary_from_preparation_to_training(tmp_path: Path, published: Path) -> None:
    lines = [f"{line} {number}" if line else "" for number, line in enumerate(LINES * 8)]
    flags: dict[str, Any] = {"tokenizer.extend": 2, "text.validation_share": 0.3}
    corpus = prepare(tmp_path / "a", lines, None, str(published), **flags)
    old, new = Tokenizer.load(published), Tokenizer.load(corpus / "tokenizer")
    assert new.tokens == [*old.tokens, "cardiologist", "unknown"]
    assert isinstance(new, WordPieceTokenizer) and new.added == 2
    run = tmp_path / "run"
    flags = {"training.steps": 1, "training.batch_size": 4, "cut.length": 32, "training.learning_rate": 1e-9}
    pipeline.pretrain("bert-tiny", str(corpus), run, published, flags | QUICK)
    before = load_model(published).encoder.embeddings.words.weight
    after = load_model(run / "model").encoder.embeddings.words.weight
    assert after.shape[0] == old.vocab_size + 2
    for number, pieces in new.pieces_of_added().items():
        assert (after[number] - before[pieces].mean(0)).abs().max() < 1e-5


def test_a_vocabulary_that_needs_fewer_words_is_told(
    tmp_path: Path, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepare(tmp_path / "a", ["the player", "dotas"], None, str(published), **{"tokenizer.extend": 9})
    assert Corpus.open(corpus).vocab_size == Tokenizer.load(published).vocab_size + 1
    assert "no more words of two or more pieces" in capsys.readouterr().err


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tokenizer.extend: adds words to a published vocabulary"):
        prepare(tmp_path / "a", LINES, **{"tokenizer.extend": 2})
    (tmp_path / "bytes").mkdir()
    byte_bpe().save(tmp_path / "bytes", 64)
    with pytest.raises(UsageError, match="only WordPiece takes further words, --tokenizer is byte_bpe"):
        prepare(tmp_path / "b", LINES, None, str(tmp_path / "bytes"), **{"tokenizer.extend": 2})
