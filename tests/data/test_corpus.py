"""Corpus files: what is written is read back without a copy, by others too, and damage is named."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bertsmith import store
from bertsmith.data.corpus import KIND, Corpus, make_part, open_part, write_part
from bertsmith.errors import BertsmithError, UsageError
from tests.helpers import document_of, memory_corpus, random_documents

DOCUMENTS = [[[5, 6, 7], [8]], [[9, 10]], [[11], [12], [13, 14]]]


@pytest.fixture
def part_file(tmp_path: Path) -> Path:
    write_part(tmp_path / "train-00000.arrow", memory_corpus(DOCUMENTS).parts[0])
    return tmp_path / "train-00000.arrow"


def corpus_folder(folder: Path, **changes: object) -> Path:
    corpus = memory_corpus(DOCUMENTS)
    splits = {"train": {"files": ["train-00000.arrow"]}, "validation": {"files": []}}
    details = {"vocab_size": 20, "fingerprint": "f", "splits": splits} | changes
    with store.writing(folder, KIND, details) as temporary:
        write_part(temporary / "train-00000.arrow", corpus.parts[0])
    return folder


def test_a_part_comes_back_as_it_was(part_file: Path):
    wanted, found = memory_corpus(DOCUMENTS).parts[0], open_part(part_file, validate=True)
    for name in ("token_ids", "word_starts", "sentences", "documents"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert [sentence.tolist() for sentence in document_of(found, 2)] == DOCUMENTS[2]
    assert found.document_tokens.tolist() == [0, 4, 6, 10]


def test_a_part_is_mapped_not_copied(part_file: Path):
    before = pa.total_allocated_bytes()
    part = open_part(part_file)
    assert not part.token_ids.flags.owndata and not part.token_ids.flags.writeable
    assert pa.total_allocated_bytes() == before


def test_arrow_reads_one_row_per_document(part_file: Path):
    with pa.ipc.open_file(part_file) as reader:
        assert reader.num_record_batches == 1
        table = reader.read_all()
    assert table["token_ids"].to_pylist() == DOCUMENTS
    assert str(table.schema.field("token_ids").type) == "list<item: list<item: uint16>>"
    assert table["word_starts"].to_pylist()[0] == [[1, 0, 1], [1]]


def test_polars_reads_it(part_file: Path):
    polars = pytest.importorskip("polars")
    assert polars.read_ipc(part_file)["token_ids"].to_list() == DOCUMENTS


def test_datasets_reads_it(part_file: Path):
    datasets = pytest.importorskip("datasets")
    cache = str(part_file.parent / "cache")
    data = datasets.load_dataset("arrow", data_files=str(part_file), split="train", cache_dir=cache)
    assert data["token_ids"] == DOCUMENTS


def test_large_vocabularies_take_wide_ids(tmp_path: Path):
    ids = np.array([70_000, 1], dtype=np.uint32)
    write_part(tmp_path / "a.arrow", make_part(ids, np.ones(2, np.uint8), np.array([2]), np.array([1])))
    assert open_part(tmp_path / "a.arrow").token_ids.tolist() == [70_000, 1]


def test_the_bytes_are_a_function_of_the_part(tmp_path: Path):
    part = memory_corpus(random_documents(50)).parts[0]
    write_part(tmp_path / "a.arrow", part)
    write_part(tmp_path / "b.arrow", part)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


@pytest.mark.parametrize("data", [b"", b"ARROW1", b"ARROW1\0\0" + bytes(200), b"no arrow at all"])
def test_a_file_that_is_no_part_is_named(tmp_path: Path, data: bytes):
    (tmp_path / "a.arrow").write_bytes(data)
    with pytest.raises(BertsmithError, match="a.arrow: is not a readable corpus file"):
        open_part(tmp_path / "a.arrow")


def test_other_arrow_files_are_refused(tmp_path: Path):
    table = pa.table({"text": ["a", "b"]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(BertsmithError, match=r"a.arrow: has columns \['text'\]"):
        open_part(tmp_path / "a.arrow")


def test_a_corpus_counts_its_tokens(tmp_path: Path):
    corpus = Corpus.open(corpus_folder(tmp_path / "c"), verify=True)
    assert (corpus.tokens, corpus.sentence_count, corpus.document_count) == (10, 6, 3)
    counts = corpus.token_counts()
    assert counts.dtype == np.int64 and counts.size == 20
    assert counts.tolist() == [0] * 5 + [1] * 10 + [0] * 5
    assert Corpus.open(tmp_path / "c", "validation").tokens == 0


def test_a_flipped_bit_is_found(tmp_path: Path):
    path = corpus_folder(tmp_path / "c") / "train-00000.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(BertsmithError, match="train-00000.arrow: damaged"):
        Corpus.open(tmp_path / "c", verify=True)


def test_ids_beyond_the_vocabulary_are_found(tmp_path: Path):
    with pytest.raises(BertsmithError, match="train-00000.arrow: holds token id 14, beyond its vocabulary of 12"):
        Corpus.open(corpus_folder(tmp_path / "c", vocab_size=12), verify=True)


def test_a_folder_without_a_manifest_is_no_corpus(tmp_path: Path):
    with pytest.raises(UsageError, match="no corpus"):
        Corpus.open(tmp_path)
