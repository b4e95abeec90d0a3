"""Preparation: what becomes of a user's text, and what the user is told."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith import interrupt, store
from bertsmith.data import preparation, sampling, writer
from bertsmith.data.chunks import EncodeChunk
from bertsmith.data.corpus import KIND, Corpus
from bertsmith.data.preparation import PreparationSummary, prepare_corpus
from bertsmith.data.reading import Reader
from bertsmith.errors import BertsmithError, Stopped, UsageError
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer
from tests.helpers import document_of

WORDS = "the cat dog sat ran on under a mat tree and then slept there again while rain fell".split()


HOLD = """
import sys
from pathlib import Path
from bertsmith import store
with store.writing(Path(sys.argv[1]), "corpus", {}):
    print("held", flush=True)
    sys.stdin.read()
"""


def story(number: int, sentences: int = 5) -> str:
    """A document of a few sentences, one a line, no two alike."""
    lines = []
    for line in range(sentences):
        chosen = [WORDS[(number * 7 + line * 3 + place * (number % 5 + 1)) % len(WORDS)] for place in range(8)]
        lines.append(f"{' '.join(chosen)} {number} {line}.\n")
    return "".join(lines)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(story(number) for number in range(300)))
    return path


def prepare(out: Path, *paths: Path, text: TextConfig | None = None, **changes) -> PreparationSummary:
    settings: dict[str, Any] = {"seed": 0, "workers": 1} | changes
    config = settings.pop("tokenizer_config", TokenizerConfig(size=200))
    return prepare_corpus([str(path) for path in paths], out, config, text or TextConfig(), **settings)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sentences(corpus: Corpus) -> list[list[str]]:
    return [
        [corpus.tokenizer.decode(ids) for ids in document_of(part, number)]
        for part in corpus.parts
        for number in range(part.documents.size - 1)
    ]


def test_the_summary_counts_what_the_corpus_holds(tmp_path: Path, text: Path):
    summary = prepare(tmp_path / "corpus", text)
    splits = [Corpus.open(tmp_path / "corpus", split, verify=True) for split in ("train", "validation")]
    assert summary.documents == 300 == sum(corpus.document_count for corpus in splits)
    assert summary.sentences == 1500 == sum(corpus.sentence_count for corpus in splits)
    assert summary.tokens == sum(corpus.tokens for corpus in splits)
    assert summary.bytes == sum(len(line) + 1 for line in text.read_text().splitlines() if line)
    assert summary.vocabulary == splits[0].vocab_size == len(splits[0].tokenizer.tokens)
    assert summary.validation_documents == splits[1].document_count
    words = sum(int(part.word_starts.sum()) for corpus in splits for part in corpus.parts)
    assert summary.tokens_per_word == summary.tokens / words > 1
    assert summary.unk_rate == 0.0 and summary.skipped == {} and summary.seconds > 0


def test_text_comes_back_in_its_order(tmp_path: Path, text: Path):
    prepare(tmp_path / "corpus", text, text=TextConfig(validation_share=0.0))
    found = sentences(Corpus.open(tmp_path / "corpus"))
    assert found == [story(number).splitlines() for number in range(300)]


def test_words_are_marked_whatever_the_recipe(tmp_path: Path, text: Path):
    prepare(tmp_path / "corpus", text)
    part = Corpus.open(tmp_path / "corpus").parts[0]
    tokenizer = Corpus.open(tmp_path / "corpus").tokenizer
    tokens = [tokenizer.id_to_token(int(i)) for i in part.token_ids[:500]]
    assert [int(start) for start in part.word_starts[:500]] == [int(not token.startswith("##")) for token in tokens]


def test_repeated_and_empty_documents_are_counted_with_their_place(tmp_path: Path, capsys):
    path = tmp_path / "text.txt"
    path.write_text(f"{story(1)}\n{story(2)}\n{story(1)}\n\u200b\u200b\n\n{story(3)}\n  {story(2)}")
    summary = prepare(tmp_path / "corpus", path)
    assert summary.documents == 3
    assert summary.skipped == {"document without text": 1, "repeated document": 2}
    shown = capsys.readouterr().err
    assert f"2 x repeated document ({path}:13, {path}:27)" in shown
    assert f"1 x document without text ({path}:19)" in shown


def test_the_validation_part_is_chosen_by_the_text_of_documents(tmp_path: Path, text: Path):
    config = TextConfig(validation_share=0.2)
    prepare(tmp_path / "a", text, text=config)
    text.write_text("\n".join(story(number) for number in reversed(range(300))))
    prepare(tmp_path / "b", text, text=config)
    parts = [sentences(Corpus.open(tmp_path / name, "validation")) for name in ("a", "b")]
    assert parts[0] == parts[1][::-1] and 35 < len(parts[0]) < 85


def test_an_empty_validation_part_is_a_warning(tmp_path: Path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("one short line")
    summary = prepare(tmp_path / "corpus", path)
    assert (summary.documents, summary.sentences, summary.validation_documents) == (1, 1, 0)
    assert "warning: no document fell into the validation part" in capsys.readouterr().err
    assert Corpus.open(tmp_path / "corpus", "validation", verify=True).parts == []


def test_a_tokenizer_that_does_not_fit_is_told(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]):
    foreign = tmp_path / "vocab.txt"
    foreign.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"0123456789."]))
    summary = prepare(tmp_path / "foreign", text, tokenizer=foreign)
    assert summary.unk_rate > 0.5
    assert "of the tokens are [UNK], that is unknown: this tokenizer does not fit" in capsys.readouterr().err
    prepare(tmp_path / "own", text)
    assert "unknown" not in capsys.readouterr().err


def test_the_segmenter_in_use_is_kept(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    prepare(tmp_path / "best", text)
    assert Corpus.open(tmp_path / "best").details["segmenter"] == "rjieba"
    monkeypatch.setattr("bertsmith.text.words.resolve", lambda name: "characters")
    capsys.readouterr()
    prepare(tmp_path / "none", text)
    assert Corpus.open(tmp_path / "none").details["segmenter"] == "characters"
    assert "every character is a word of its own" in capsys.readouterr().err


def test_a_folder_being_written_is_told_before_the_text_is_read(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
):
    """Record locks do not stand between threads of one process, so another one holds the folder."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "corpus")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    monkeypatch.setattr(store, "hash_file", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(BertsmithError, match=f"corpus is in use by process {holder.pid}"):
        prepare(tmp_path / "corpus", text)
    holder.communicate()


def test_a_corpus_of_several_parts_loses_nothing(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch):
    prepare(tmp_path / "one", text, text=TextConfig(validation_share=0.0))
    monkeypatch.setattr(writer, "PART_TOKENS", 1000)
    monkeypatch.setattr("bertsmith.data.reading.CHUNK_CHARACTERS", 2000)
    prepare(tmp_path / "many", text, text=TextConfig(validation_share=0.0))
    one, many = Corpus.open(tmp_path / "one"), Corpus.open(tmp_path / "many", verify=True)
    assert len(many.parts) > 10 and sentences(many) == sentences(one)
    assert [path.name for path in many.files][:2] == ["train-00000.arrow", "train-00001.arrow"]


def test_slices_of_a_document_are_the_document(monkeypatch: pytest.MonkeyPatch):
    tokenizer = WordPieceTokenizer(
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "今", "天", "玩", "cat"], lowercase=True
    )
    documents = [["今天玩。cat cat。", "\u200d"], ["", "今天"], ["玩cat"]]
    whole = EncodeChunk(tokenizer, TextConfig())(documents)
    for size in (1, 3, 7):
        monkeypatch.setattr("bertsmith.data.chunks.SLICE_CHARACTERS", size)
        for one, other in zip(EncodeChunk(tokenizer, TextConfig())(documents), whole, strict=True):
            assert np.array_equal(one, other) and np.asarray(one).dtype == np.asarray(other).dtype
    assert EncodeChunk(tokenizer, TextConfig())([[""]]).token_ids.size == 0


def test_the_sample_of_the_tokenizer_keeps_no_places(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch):
    kept: list[int] = []
    monkeypatch.setattr("bertsmith.data.reading.CHUNK_CHARACTERS", 500)
    monkeypatch.setattr(sampling, "prune", lambda counts, most: kept.append(len(readers[0]._places)))
    readers: list[Reader] = []
    monkeypatch.setattr(sampling, "Reader", lambda *of: readers.append(Reader(*of)) or readers[0])
    prepare(tmp_path / "corpus", text)
    assert len(kept) > 10 and max(kept) <= 1


def test_all_kinds_of_files_in_one_corpus(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt.gz").write_bytes(gzip.compress(f"{story(1)}\n{story(2)}".encode()))
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": story(number)}) + "\n" for number in (3, 4)))
    parquet.write_table(pyarrow.table({"text": [story(5)]}), folder / "c.parquet")
    prepare(tmp_path / "corpus", folder, text=TextConfig(validation_share=0.0))
    assert sentences(Corpus.open(tmp_path / "corpus")) == [story(n).splitlines() for n in (1, 2, 3, 4, 5)]


def test_a_published_vocabulary_is_taken_as_it_is(tmp_path: Path, text: Path):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "Cat", "dog", ".", *"0123456789"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    summary = prepare(tmp_path / "corpus", text, tokenizer=tmp_path / "vocab.txt")
    tokenizer = Corpus.open(tmp_path / "corpus").tokenizer
    assert tokenizer.tokens == vocabulary and not tokenizer.lowercase  # a capital in it says that it is cased
    assert 0.3 < summary.unk_rate < 0.9


def test_a_tokenizer_that_was_exchanged_is_found(tmp_path: Path, text: Path):
    prepare(tmp_path / "corpus", text)
    other = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"], lowercase=True)
    other.save(tmp_path / "corpus" / "tokenizer", 512)
    with pytest.raises(BertsmithError, match="tokenizer"):
        Corpus.open(tmp_path / "corpus").tokenizer  # noqa: B018


# --- the same line again ---


def test_the_same_line_again_does_nothing(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    first = prepare(tmp_path / "corpus", text)
    before = tree(tmp_path / "corpus")
    monkeypatch.setattr(preparation, "_write", None)
    again = prepare(tmp_path / "corpus", text, workers=3)
    assert tree(tmp_path / "corpus") == before
    assert {**vars(again), "seconds": 0} == {**vars(first), "seconds": 0}
    assert "is prepared already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "with seed = 0, not 1"),
        ({"text": TextConfig(validation_share=0.5)}, "with text.validation_share = 0.01, not 0.5"),
        ({"text": TextConfig(sentences="line")}, "with text.sentences = auto, not line"),
        ({"tokenizer_config": TokenizerConfig(size=300)}, "with tokenizer.size = 200, not 300"),
    ],
)
def test_another_request_is_refused_by_name(tmp_path: Path, text: Path, changes: dict, message: str):
    prepare(tmp_path / "corpus", text)
    before = tree(tmp_path / "corpus")
    with pytest.raises(UsageError, match=f"corpus: was prepared {message}"):
        prepare(tmp_path / "corpus", text, **changes)
    assert tree(tmp_path / "corpus") == before


def test_other_text_is_refused(tmp_path: Path, text: Path):
    prepare(tmp_path / "corpus", text)
    data = bytearray(text.read_bytes())
    data[10] ^= 1  # of the same size
    text.write_bytes(data)
    with pytest.raises(UsageError, match=r"was prepared of other text \(--text\)"):
        prepare(tmp_path / "corpus", text)


def test_another_tokenizer_is_refused(tmp_path: Path, text: Path):
    prepare(tmp_path / "corpus", text)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    with pytest.raises(UsageError, match=r"was prepared with another tokenizer \(--tokenizer\)"):
        prepare(tmp_path / "corpus", text, tokenizer=tmp_path / "vocab.txt")


def test_a_damaged_corpus_is_prepared_anew(tmp_path: Path, text: Path, capsys):
    prepare(tmp_path / "corpus", text)
    before = tree(tmp_path / "corpus")
    path = tmp_path / "corpus" / "train-00000.arrow"
    path.write_bytes(path.read_bytes()[:-9])
    prepare(tmp_path / "corpus", text)
    assert tree(tmp_path / "corpus") == before
    assert "train-00000.arrow: damaged" in capsys.readouterr().err


def test_a_size_of_auto_is_recorded_as_what_it_came_to(tmp_path: Path, text: Path):
    recipe = '[tokenizer]\nsize = "auto"\nlowercase = true\n'
    summary = prepare(tmp_path / "corpus", text, tokenizer_config=TokenizerConfig(), recipe_text=recipe)
    kept = store.read_details(tmp_path / "corpus", KIND)["recipe"]
    assert kept == f"[tokenizer]\nsize = {summary.vocabulary}\nlowercase = true\n"


# --- what goes wrong ---


@pytest.mark.parametrize("data", [b"", b"\n\n\n", b"\xef\xbb\xbf\r\n", "\u200b\n".encode(), b"\xff\xfea\0b\0"])
def test_no_text_at_all_is_one_line(tmp_path: Path, data: bytes):
    (tmp_path / "text.txt").write_bytes(data)
    with pytest.raises(BertsmithError, match=r"text.txt: no text found to prepare \(.+\)$"):
        prepare(tmp_path / "corpus", tmp_path / "text.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_no_text_for_a_published_vocabulary(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    (tmp_path / "text.txt").write_bytes(b"\n \n\xff\n")
    with pytest.raises(BertsmithError, match=r"no text found to prepare \(1 x not UTF-8, first at .*text.txt:3\)"):
        prepare(tmp_path / "corpus", tmp_path / "text.txt", tokenizer=tmp_path / "vocab.txt")
    assert not (tmp_path / "corpus").exists()


def test_bad_lines_fail_where_that_is_wanted(tmp_path: Path, text: Path):
    text.write_bytes(text.read_bytes() + b"\nbad \xff line\n")
    assert prepare(tmp_path / "corpus", text).skipped == {"not UTF-8": 1}
    with pytest.raises(BertsmithError, match="text.txt:1801: not UTF-8"):
        prepare(tmp_path / "other", text, text=TextConfig(on_bad="fail"))
    assert not (tmp_path / "other").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, text: Path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="corpus: is not empty"):
        prepare(tmp_path / "corpus", text)
    assert tree(tmp_path / "corpus") == {"thesis.tex": b"x"}


def test_a_request_to_stop_leaves_nothing(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bertsmith.data.reading.CHUNK_CHARACTERS", 1000)
    add = writer.SplitWriter.add

    def add_and_ask(self, chunk, documents):
        add(self, chunk, documents)
        monkeypatch.setattr(interrupt, "_requested", "SIGTERM")

    monkeypatch.setattr(writer.SplitWriter, "add", add_and_ask)
    with pytest.raises(Stopped):
        prepare(tmp_path / "corpus", text)
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]
