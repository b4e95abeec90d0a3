from __future__ import annotations

import gzip
import json
import os
import time
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bertsmith.errors import BertsmithError
from bertsmith.text import documents, lines, sources
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import RawDocument, Skipped, find, read
from bertsmith.text.tables import column_bytes

Counts = dict[str, int]


def documents_of(path: Path, config: TextConfig | None = None, fail: bool = False) -> tuple[list[RawDocument], Skipped]:
    skipped = Skipped(fail=fail)
    found = [d for source in find([path]) for d in read(source, config or TextConfig(), skipped)]
    return found, skipped


def texts(found: list[RawDocument]) -> list[list[str]]:
    return [[line.strip() for line in document.lines] for document in found]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- text files ---


@pytest.mark.parametrize(
    ("data", "wanted", "counts"),
    [
        (b"", [], {}),
        (b"\n\n\n", [], {}),
        (b" \n\t\n\r\n", [], {}),
        (b"one\ntwo\n\nthree", [["one", "two"], ["three"]], {}),
        (b"\n\none\n \t\ntwo\n\n\n", [["one"], ["two"]], {}),
        (b"one\r\n\r\ntwo\r\n", [["one"], ["two"]], {}),
        (b"\xef\xbb\xbfone\n", [["one"]], {}),
        (b"one\nna\xefve\ntwo\n", [["one", "two"]], {"not UTF-8": 1}),  # Latin-1
        (b"cut \xe4\xbb\n\xc0\xafoverlong\n\xed\xa0\x80\nok\n", [["ok"]], {"not UTF-8": 3}),
        (b"one\nn\0ul\n", [["one"]], {"NUL character": 1}),
        ("one\u2028two\x0b\x0cthree\x85four\n".encode(), [["one\u2028two\x0b\x0cthree\x85four"]], {}),
        ("one\n".encode("utf-16"), [], {"the file is UTF-16 or UTF-32; convert it to UTF-8": 1}),
        ("one\n".encode("utf-32"), [], {"the file is UTF-16 or UTF-32; convert it to UTF-8": 1}),
        (b"literal [MASK] and [SEP]\n", [["literal [MASK] and [SEP]"]], {}),
    ],
)
def test_text_files(tmp_path: Path, data: bytes, wanted: list[list[str]], counts: Counts) -> None:
    found, skipped = documents_of(write(tmp_path / "a.txt", data))
    assert texts(found) == wanted
    assert skipped.counts == counts


def test_places_and_positions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\none\nb\xffd\ntwo\n\n\xff\n\xff\n\xff\nthree\n")
    found, skipped = documents_of(path)
    assert [(d.file, d.first_line, len(d.lines)) for d in found] == [(str(path), 2, 2), (str(path), 9, 1)]
    assert found[-1].position == path.stat().st_size and 0 < found[0].position < found[1].position
    assert skipped.counts == {"not UTF-8": 4}
    assert skipped.examples == {"not UTF-8": [f"{path}:{n}" for n in (3, 6, 7)]}


def test_failing_instead_of_skipping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"one\n\xff\n")
    with pytest.raises(BertsmithError, match=r"a\.txt:2: not UTF-8"):
        documents_of(path, fail=True)


def test_a_long_line_is_cut_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    monkeypatch.setattr(lines, "_LATEST_CUT", 20)
    words = " ".join(f"word{i}" for i in range(100))
    han = "汉" * 150
    found, skipped = documents_of(write(tmp_path / "a.txt", f"{words}\n{han}\nlast\n".encode()))
    (document,) = found
    joined = "".join(document.lines)
    assert joined == f"{words}\n{han}\nlast\n"
    assert max(len(line.encode()) for line in document.lines) <= 101
    assert all(line.endswith((" ", "\n")) for line in document.lines if "word" in line)
    assert skipped.counts == {"line cut": 2}
    assert skipped.examples["line cut"] == [f"{document.file}:1", f"{document.file}:2"]
    assert documents_of(write(tmp_path / "b.txt", b"x" * 100), fail=True)[1].counts == {}


def test_a_large_document_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", b"0123456789\n" * 5)
    with monkeypatch.context() as patch:
        patch.setattr(documents, "MOST_LINES", 2)
        by_lines = documents_of(path)
    monkeypatch.setattr(documents, "LARGEST_DOCUMENT", 30)
    assert documents_of(path) == by_lines
    found, skipped = by_lines
    assert [(d.first_line, len(d.lines)) for d in found] == [(1, 2), (3, 2), (5, 1)]
    assert skipped.counts == {"document cut": 2}


def test_memory_stays_bounded_on_one_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(b"endless " * 2**17)
    tracemalloc.start()
    characters = sum(len(line) for d in read(find([path])[0], TextConfig(), Skipped()) for line in d.lines)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert characters == 64 * 2**20
    assert peak < 40 * 2**20


def test_many_empty_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\n" * 1_000_000 + b"end\n")
    start = time.process_time()
    found, _ = documents_of(path)
    assert [d.first_line for d in found] == [1_000_001]
    assert time.process_time() - start < 5


# --- JSON lines ---


@pytest.mark.parametrize(
    ("line", "wanted", "counts"),
    [
        ('{"text": "one\\n\\ntwo\\n"}', [["one", "two"]], {}),
        ('{"text": ""}', [], {}),
        ("   ", [], {}),
        ('{"text": "cut', [], {"not JSON": 1}),
        ("[" * 100_000, [], {"not JSON": 1}),
        ('{"text": ' + "9" * 10_000 + "}", [], {"not JSON": 1}),
        ("[1]", [], {"no field 'text' (text.field names the one to read)": 1}),
        ('{"body": "one"}', [], {"no field 'text' (text.field names the one to read)": 1}),
        ('{"text": null}', [], {"field 'text' is not text": 1}),
        ('{"text": "n\\u0000ul"}', [], {"NUL character": 1}),
        ('{"text": "half \\ud83d character"}', [["half \ud83d character"]], {}),
    ],
)
def test_json_lines(tmp_path: Path, line: str, wanted: list[list[str]], counts: Counts) -> None:
    path = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + f'{line}\n{{"text": "last"}}'.encode())
    found, skipped = documents_of(path)
    assert texts(found) == [*wanted, ["last"]]
    assert found[-1].first_line == 2
    assert skipped.counts == counts


def test_json_lines_with_another_field(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"body": "one"}\n\xff\n')
    found, skipped = documents_of(path, TextConfig(field="body"))
    assert texts(found) == [["one"]]
    assert skipped.counts == {"not UTF-8": 1}


def test_a_json_line_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_JSON_LINE", 1000)
    long = json.dumps({"text": "x" * 5000})
    found, skipped = documents_of(write(tmp_path / "a.jsonl", f'{long}\n{{"text": "last"}}\n{long}'.encode()))
    assert texts(found) == [["last"]]
    assert skipped.counts == {"JSON line longer than 0 MiB": 2}


def test_a_long_paragraph_in_json_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LONGEST_LINE", 100)
    monkeypatch.setattr(lines, "LONGEST_LINE", 100)
    found, skipped = documents_of(write(tmp_path / "a.jsonl", json.dumps({"text": "x" * 250}).encode()))
    assert [len(line) for line in found[0].lines] == [100, 100, 50]
    assert skipped.counts == {"line cut": 1}


# --- Parquet ---


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("packed", [False, True])
def test_parquet(tmp_path: Path, kind: pa.DataType, packed: bool) -> None:
    path = tmp_path / "a.parquet"
    values = ["one\ntwo", None, "", "thr\0ee", *(f"row {i}" for i in range(200))]
    parquet.write_table(pa.table({"id": list(range(204)), "text": pa.array(values, pa.string()).cast(kind)}), path)
    if packed:
        path = write(tmp_path / "a.parquet.gz", gzip.compress(path.read_bytes()))
    found, skipped = documents_of(path)
    assert texts(found)[:2] == [["one", "two"], ["row 0"]]
    assert len(found) == 201 and found[-1].first_line == 204
    assert found[0].position < found[-1].position <= path.stat().st_size
    assert skipped.counts == {"row without text": 1, "NUL character": 1}
    assert skipped.examples["NUL character"] == [f"{path}:4"]


def test_no_room_to_unpack_parquet_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table({"text": ["one"]}), tmp_path / "a.parquet")
    write(tmp_path / "a.parquet.gz", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "w+b"))  # noqa: SIM115
    with pytest.raises(BertsmithError, match="No space left on device; free some space"):
        documents_of(tmp_path / "a.parquet.gz")


def test_parquet_tells_how_much_text_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    words = [f"{i:06} " * 50 for i in range(500)]
    parquet.write_table(pa.table({"text": words, "other": words}), file, compression="zstd", use_dictionary=False)
    size = column_bytes(file, "text")
    assert size is not None and 500 * 350 <= size < 500 * 400 and file.stat().st_size < size / 4
    assert column_bytes(write(tmp_path / "b.parquet", b"PAR1 damaged"), "text") is None


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    parquet.write_table(pa.table({"body": ["one"], "number": [1]}), good)
    damaged = write(tmp_path / "damaged.parquet", good.read_bytes()[:-20])
    reason = "no column 'text' (text.field names the one to read; there are: body, number)"
    assert documents_of(good)[1].counts == {reason: 1}
    assert documents_of(good, TextConfig(field="number"))[1].counts == {"column 'number' is not text but int64": 1}
    for path in (damaged, write(tmp_path / "empty.parquet", b""), write(tmp_path / "text.parquet", b"hello" * 100)):
        found, skipped = documents_of(path)
        assert found == [] and skipped.counts == {"the Parquet file is damaged": 1}


# --- compression and storage ---


def test_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\n\ntwo\n") + gzip.compress(b"three\n")
    found, skipped = documents_of(write(tmp_path / "a.txt.gz", whole))
    assert texts(found) == [["one"], ["two", "three"]] and not skipped.counts


@pytest.mark.parametrize("damage", ["short", "flipped", "foreign"])
def test_damaged_gzip(tmp_path: Path, damage: str) -> None:
    packed = bytearray(gzip.compress(b"".join(b"line %d\n\n" % i for i in range(20_000))))
    if damage == "short":
        del packed[len(packed) // 2 :]
    elif damage == "flipped":
        packed[len(packed) // 2 : len(packed) // 2 + 8] = b"\xff" * 8
    else:
        packed = bytearray(b"not compressed at all")
    found, skipped = documents_of(write(tmp_path / "a.txt.gz", bytes(packed)))
    assert skipped.counts == {"the .gz file is cut short or damaged": 1}
    assert (len(found) > 100) == (damage != "foreign")
    assert texts(found)[:1] in ([["line 0"]], [])


def test_a_gzip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ALWAYS_UNPACKED", 2**20)
    path = write(tmp_path / "a.txt.gz", gzip.compress(b"\0" * 40 * 2**20))
    found, skipped = documents_of(path)
    assert found == []
    assert skipped.counts["the .gz file unpacks to more than 300 times its size"] == 1
    assert skipped.counts["NUL character"] < 10


def test_what_is_no_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    os.symlink("nowhere", tmp_path / "broken.txt")
    write(tmp_path / "good.txt", b"good\n")
    found, skipped = documents_of(tmp_path)
    assert texts(found) == [["good"]]
    assert skipped.counts == {"not a regular file": 1, "the file cannot be read (No such file or directory)": 1}


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *rest: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    path = write(tmp_path / "a.txt", b"one\n")
    monkeypatch.setattr(os, "open", refuse)
    found, skipped = documents_of(path)
    assert found == [] and skipped.counts == {"the file cannot be read (Permission denied)": 1}


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"one\n\n" * 100)
    skipped = Skipped()
    reading = read(find([path])[0], TextConfig(), skipped)
    next(reading)
    write(path, b"two\n")
    list(reading)
    assert skipped.counts == {"the file changed while it was read": 1}


def test_many_small_files(tmp_path: Path) -> None:
    for i in range(500):
        write(tmp_path / f"{i:03}.txt", b"text %d\n" % i)
    found, skipped = documents_of(tmp_path)
    assert texts(found) == [[f"text {i}"] for i in range(500)] and not skipped.counts
