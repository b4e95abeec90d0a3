"""A folder is whole or it does not exist: what is written, what is caught, what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.store.manifest import render_manifest
from tests.disks import mounted

CONTENT = {"a.bin": bytes(range(256)) * 3, "empty.txt": b"", "sub/b.json": b'{"key": [1, 2, 3]}\n'}


def write(folder: Path, kind: str = "corpus", content: dict[str, bytes] | None = None, **details: object) -> Path:
    with store.writing(folder, kind, details) as temporary:
        for name, data in (CONTENT if content is None else content).items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(data)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run_python(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], env={**os.environ, **environment}, capture_output=True, text=True
    )


WRITER = """
import sys; from pathlib import Path; from bertsmith import store
with store.writing(Path(sys.argv[1]), "corpus", {"documents": 3}) as folder:
    (folder / "one.txt").write_text("one"); (folder / "two.txt").write_text("two")
"""


class TestWriting:
    def test_gives_back_what_was_written(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "deep" / "corpus", documents=3, names=["x"])
        assert store.verify(folder, "corpus") == {"documents": 3, "names": ["x"]}
        assert store.read_details(folder, "corpus") == {"documents": 3, "names": ["x"]}
        assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
        assert names(folder.parent) == ["corpus"]

    def test_details_may_be_filled_in_while_writing(self, tmp_path: Path) -> None:
        details: dict[str, int] = {}
        with store.writing(tmp_path / "corpus", "corpus", details):
            details["documents"] = 7
        assert store.verify(tmp_path / "corpus", "corpus") == {"documents": 7}

    def test_same_content_gives_the_same_bytes(self, tmp_path: Path) -> None:
        one, two = write(tmp_path / "one", documents=1), write(tmp_path / "two", documents=1)
        assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()

    def test_replaces_a_folder_of_the_same_kind(self, tmp_path: Path) -> None:
        write(tmp_path / "corpus", documents=1)
        write(tmp_path / "corpus", content={"new": b"x"}, documents=2)
        assert store.verify(tmp_path / "corpus", "corpus") == {"documents": 2}
        assert names(tmp_path / "corpus") == ["manifest.json", "new"]
        assert names(tmp_path) == ["corpus"]

    def test_an_error_leaves_nothing_and_keeps_the_old(self, tmp_path: Path) -> None:
        write(tmp_path / "corpus", documents=1)
        with pytest.raises(ZeroDivisionError), store.writing(tmp_path / "corpus", "corpus", {}) as temporary:
            (temporary / "half").write_text("half")
            raise ZeroDivisionError
        assert store.verify(tmp_path / "corpus", "corpus") == {"documents": 1}
        assert names(tmp_path) == ["corpus"]

    def test_never_touches_what_it_did_not_write(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        with pytest.raises(UsageError, match="mine: is not empty and holds no corpus"):
            write(tmp_path / "mine")
        write(tmp_path / "run", kind="run")
        with pytest.raises(UsageError, match="run: holds a run"):
            write(tmp_path / "run")
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="file: is a file"):
            write(tmp_path / "file")
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
        assert names(tmp_path) == ["file", "mine", "run"]

    def test_refuses_links_inside(self, tmp_path: Path) -> None:
        refused = pytest.raises(BertsmithError, match="not a regular file")
        with refused, store.writing(tmp_path / "corpus", "corpus", {}) as temporary:
            (temporary / "link").symlink_to("/etc/hostname")
        assert names(tmp_path) == []


class TestVerify:
    def test_one_flipped_bit_is_always_found(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "corpus", documents=3)
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
        generator = random.Random(0)
        for _ in range(400):
            path = generator.choice(paths)
            intact = path.read_bytes()
            damaged = bytearray(intact)
            damaged[generator.randrange(len(intact))] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(BertsmithError):
                store.verify(folder, "corpus")
            path.write_bytes(intact)
        store.verify(folder, "corpus")

    def test_every_truncation_is_found_without_reading_the_files(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "corpus", documents=3)
        generator = random.Random(1)
        for name in ("a.bin", "sub/b.json", "manifest.json"):
            intact = (folder / name).read_bytes()
            for _ in range(40):
                (folder / name).write_bytes(intact[: generator.randrange(len(intact))])
                with pytest.raises(BertsmithError, match=name):
                    store.read_details(folder, "corpus")
            (folder / name).write_bytes(intact)

    def test_missing_added_and_swapped_files_are_named(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "corpus", content={"x": b"12", "y": b"21"})
        (folder / "x").rename(folder / "z")
        with pytest.raises(BertsmithError, match="x: missing"):
            store.verify(folder, "corpus")
        (folder / "z").rename(folder / "x")
        (folder / "extra").write_text("")
        with pytest.raises(BertsmithError, match="extra: does not belong here"):
            store.verify(folder, "corpus")
        (folder / "extra").unlink()
        (folder / "x").write_bytes(b"21")
        with pytest.raises(BertsmithError, match="x: damaged"):
            store.verify(folder, "corpus")

    def test_a_link_in_place_of_a_file_is_refused(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "corpus", content={"x": b"12"})
        (folder / "x").rename(tmp_path / "outside")
        (folder / "x").symlink_to(tmp_path / "outside")
        with pytest.raises(BertsmithError, match="not a regular file"):
            store.verify(folder, "corpus")

    @pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/../../outside"])
    def test_a_manifest_cannot_point_outside(self, tmp_path: Path, name: str) -> None:
        folder = write(tmp_path / "corpus", content={})
        manifest = json.loads((folder / "manifest.json").read_bytes())
        del manifest["sha256"]
        manifest["files"] = {name: {"bytes": 1, "sha256": "0"}}
        (folder / "manifest.json").write_bytes(render_manifest(manifest))
        with pytest.raises(BertsmithError, match="outside the folder"):
            store.verify(folder, "corpus")

    @pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b"null", b'"text"', b"[" * 100_000, b"\xff\xfe"])
    def test_a_manifest_that_is_none_is_one_clear_line(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "manifest.json").write_bytes(data)
        with pytest.raises(BertsmithError, match="manifest.json: damaged"):
            store.verify(tmp_path, "corpus")

    def test_absent_and_other_folders_are_wrong_usage(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no such folder"):
            store.verify(tmp_path / "none", "corpus")
        with pytest.raises(UsageError, match="holds no corpus"):
            store.verify(tmp_path, "corpus")
        with pytest.raises(UsageError, match="holds a run, not a corpus"):
            store.verify(write(tmp_path / "run", kind="run"), "corpus")


STAGES = ["opened", "file-1", "file-2", "before-manifest", "after-manifest"]


class TestCrashes:
    @pytest.mark.parametrize("stage", STAGES)
    def test_a_killed_writer_leaves_nothing_visible(self, tmp_path: Path, stage: str) -> None:
        folder = tmp_path / "corpus"
        killed = run_python(WRITER, folder, BERTSMITH_CRASH_POINT=f"corpus.{stage}")
        assert killed.returncode == -signal.SIGKILL
        assert not folder.exists()
        assert any(name.startswith(".corpus.partial-") for name in names(tmp_path))
        assert run_python(WRITER, folder).returncode == 0
        assert store.verify(folder, "corpus") == {"documents": 3}
        assert names(tmp_path) == ["corpus"]

    def test_killed_after_the_rename_it_is_complete(self, tmp_path: Path) -> None:
        killed = run_python(WRITER, tmp_path / "corpus", BERTSMITH_CRASH_POINT="corpus.renamed")
        assert killed.returncode == -signal.SIGKILL
        assert store.verify(tmp_path / "corpus", "corpus") == {"documents": 3}

    def test_a_crash_point_can_wait_for_its_third_time(self, tmp_path: Path) -> None:
        code = (
            "import sys; from bertsmith import store\nfor i in range(5): print(i, flush=True); store.crash_point('x')"
        )
        killed = run_python(code, tmp_path, BERTSMITH_CRASH_POINT="x@3")
        assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "256k") as disk:
        yield disk


class TestFullDisk:
    @pytest.mark.parametrize("filled", ["first file", "later file"])
    def test_a_small_disk_keeps_the_old_and_says_so(self, small_disk: Path, filled: str) -> None:
        write(small_disk / "corpus", documents=1)
        content = {"1": b"x" * 1000, "2": b"x" * 400_000} if filled == "later file" else {"1": b"x" * 400_000}
        with pytest.raises(BertsmithError, match="No space left on device; free some space"):
            write(small_disk / "corpus", content=content)
        assert store.verify(small_disk / "corpus", "corpus") == {"documents": 1}
        assert names(small_disk) == ["corpus"]
        write(small_disk / "corpus", documents=2)
        assert store.verify(small_disk / "corpus", "corpus") == {"documents": 2}

    @pytest.mark.parametrize("failing", range(1, 6))
    def test_wherever_it_fills_nothing_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
    ) -> None:
        """Delayed allocation reports a full disk at fsync: of each file, of the manifest, of the folders."""
        write(tmp_path / "corpus", documents=1)
        calls = 0

        def fsync(handle: int) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(BertsmithError, match="No space left on device"):
                write(tmp_path / "corpus", documents=2)
        assert store.verify(tmp_path / "corpus", "corpus") == {"documents": 1}
        assert names(tmp_path) == ["corpus"]

    def test_space_is_asked_for_before_work_begins(self, tmp_path: Path) -> None:
        store.require_space(tmp_path / "not" / "made" / "yet", 1)
        with pytest.raises(BertsmithError, match="only .* MB are free"):
            store.require_space(tmp_path, 2**62)
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="is a file"):
            store.require_space(tmp_path / "file" / "below", 1)
        assert names(tmp_path) == ["file"]


def read_only_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write anywhere")
    return folder


def test_a_read_only_folder_is_one_clear_line(tmp_path: Path) -> None:
    folder = read_only_folder(tmp_path)
    with pytest.raises(BertsmithError, match="Permission denied; check its permissions"):
        write(folder / "corpus")
    with pytest.raises(BertsmithError, match="Permission denied"):
        store.require_space(folder, 1)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_refused_write_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "corpus"))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(BertsmithError, match=f"corpus: {os.strerror(code)}; ") as caught:
            write(tmp_path / "corpus")
    assert "\n" not in str(caught.value)


HOLDER = """
import sys, time; from pathlib import Path; from bertsmith import store
with store.locked(Path(sys.argv[1])):
    print("held", flush=True); time.sleep(60)
"""
ORPHANING_HOLDER = """
import os, sys, time; from pathlib import Path; from bertsmith import store
with store.locked(Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(20); os._exit(0)
    print("held", flush=True); time.sleep(60)
"""


class TestLock:
    def test_another_process_is_refused_at_once(self, tmp_path: Path) -> None:
        run = tmp_path / "run"
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE)
        try:
            assert holder.stdout and holder.stdout.readline() == b"held\n"
            started = time.monotonic()
            with pytest.raises(BertsmithError, match=f"run is in use by process {holder.pid}$"), store.locked(run):
                pass
            assert time.monotonic() - started < 2
        finally:
            holder.kill()
            holder.wait()
        with store.locked(run):
            pass

    def test_a_forked_worker_that_outlives_its_parent_does_not_keep_it(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", ORPHANING_HOLDER, str(tmp_path)]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        try:
            assert holder.stdout and holder.stdout.readline() == b"held\n"
            holder.kill()
            holder.wait()
            with store.locked(tmp_path):
                pass
        finally:
            os.killpg(holder.pid, signal.SIGKILL)

    def test_twice_in_one_process_is_refused_too(self, tmp_path: Path) -> None:
        with store.locked(tmp_path), pytest.raises(BertsmithError, match="this one"), store.locked(tmp_path):
            pass
        with store.locked(tmp_path):
            pass

    def test_two_writers_of_one_folder_exclude_each_other(self, tmp_path: Path) -> None:
        with store.writing(tmp_path / "corpus", "corpus", {}):
            other = run_python(WRITER, tmp_path / "corpus")
        assert other.returncode != 0
        assert f"is in use by process {os.getpid()}" in other.stderr
        assert store.verify(tmp_path / "corpus", "corpus") == {}

    def test_a_file_in_the_way_is_wrong_usage(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("x")
        with pytest.raises(UsageError, match="run: is a file"), store.locked(tmp_path / "run"):
            pass


class TestFiles:
    def test_write_atomic_replaces_as_a_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store.write_atomic(tmp_path / "file", b"old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            with pytest.raises(BertsmithError, match="file: full"):
                store.write_atomic(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"old"
        store.write_atomic(tmp_path / "file", b"new")
        assert (tmp_path / "file").read_bytes() == b"new"
        assert names(tmp_path) == ["file"]

    def test_passing_faults_are_retried_three_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
        faults = [errno.EIO, errno.EIO]

        def sometimes() -> str:
            if faults:
                raise OSError(faults.pop(), "passing")
            return "read"

        assert store.retry(sometimes) == "read"
        faults = [errno.EIO] * 3
        with pytest.raises(OSError, match="passing"):
            store.retry(sometimes)
        faults = [errno.ENOENT]
        with pytest.raises(OSError, match="passing"):
            store.retry(sometimes)

    def test_fingerprints_tell_values_and_borders_apart(self) -> None:
        assert store.fingerprint({"a": 1, "b": [2]}) == store.fingerprint({"b": [2], "a": 1})
        different = [("ab", "c"), ("a", "bc"), (b"ab", b"c"), ("abc",), (1,), (1.0,), ("1",), (b"1",), ()]
        assert len({store.fingerprint(*values) for values in different}) == len(different)
        # Never to change: fingerprints of old folders are compared with new ones.
        known = "f431753bd7a6d89529f1f1a6536dd623354aa0a68d7da002045a672dde2588ab"
        assert store.fingerprint("bertsmith", {"seed": 0, "rate": 0.15}, b"bytes") == known
