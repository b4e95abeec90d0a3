from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertsmith.errors import UsageError
from bertsmith.text.documents import find


def touch(path: Path, text: str = "text\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folders_patterns_and_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a.jsonl", "sub/c.txt.gz", "sub/d.parquet", ".hidden.txt", ".git/e.txt", "f.pdf", "G.TXT"):
        touch(tmp_path / name)
    found = find([tmp_path])
    assert [s.path.relative_to(tmp_path).as_posix() for s in found] == [
        "G.TXT", "a.jsonl", "b.txt", "sub/c.txt.gz", "sub/d.parquet",
    ]  # fmt: skip
    assert [(s.kind, s.compressed) for s in found[1:]] == [
        ("jsonl", False), ("txt", False), ("txt", True), ("parquet", False),
    ]  # fmt: skip
    assert [s.path.name for s in find([str(tmp_path / "*.txt"), str(tmp_path / "b.txt")])] == ["b.txt"]
    assert [s.path.name for s in find([str(tmp_path / "**" / "*.gz")])] == ["c.txt.gz"]
    assert found[1].size == 5


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    path = touch(tmp_path / "part[1].txt")
    assert [s.path for s in find([str(path)])] == [path]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("missing.txt", "missing.txt: there is no such file or folder"),
        ("*.txt", r"\*.txt: matches no file"),
        ("empty", "empty: holds no .txt, .jsonl or .parquet file"),
        ("book.pdf", "book.pdf: is of no known kind; name .txt"),
        ("pipe.txt", "pipe.txt: is not a regular file"),
        ("broken.txt", "broken.txt: is not a regular file"),
    ],
)
def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "book.pdf")
    if argument == "pipe.txt":
        os.mkfifo(argument)
    if argument == "broken.txt":
        os.symlink("nowhere", argument)
    with pytest.raises(UsageError, match=f"^{message}"):
        find([argument])


def test_no_argument() -> None:
    with pytest.raises(UsageError, match="no text given"):
        find([])


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="cannot be listed"):
        find([tmp_path])
