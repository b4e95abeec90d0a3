"""Plans on disk: made once, mapped, mended."""

from pathlib import Path

import numpy as np

from bertsmith.data.config import CutConfig
from bertsmith.data.cuts import cut_for
from bertsmith.data.plans import Plans
from tests.helpers import SPECIAL, memory_corpus, random_documents

CORPUS = memory_corpus(random_documents(30))


def plans(folder: Path | None, config: CutConfig | None = None, seed: int = 0) -> Plans:
    config = config or CutConfig()
    return Plans(CORPUS, cut_for(config, SPECIAL, seed), config, seed, folder)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.plan"))


def test_a_plan_on_disk_is_the_plan(tmp_path: Path):
    wanted = plans(None).rows(0)
    first, again = plans(tmp_path / "new").rows(0), plans(tmp_path / "new").rows(0)
    assert first.tolist() == again.tolist() == wanted.tolist() and len(wanted)
    assert not again.flags.owndata and not again.flags.writeable
    assert again.dtype == wanted.dtype == np.int32


def test_a_plan_is_made_once(tmp_path: Path):
    plans(tmp_path).rows(0)
    (file,) = files(tmp_path)
    before = file.stat().st_mtime_ns
    assert plans(tmp_path).rows(10).tolist() == plans(None).rows(0).tolist()  # ten copies: epoch 10 is epoch 0 again
    assert file.stat().st_mtime_ns == before and files(tmp_path) == [file]


def test_a_damaged_plan_is_made_again(tmp_path: Path):
    wanted = plans(tmp_path).rows(0).tolist()
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[100] ^= 1
    for damaged in (bytes(flipped), whole[:-7], whole[:1000], b""):
        file.write_bytes(damaged)
        assert plans(tmp_path).rows(0).tolist() == wanted
        assert file.read_bytes() == whole


def test_other_requests_have_other_files(tmp_path: Path):
    plans(tmp_path).rows(0)
    plans(tmp_path).rows(1)
    plans(tmp_path, seed=1).rows(0)
    plans(tmp_path, CutConfig(length=64)).rows(0)
    assert len(files(tmp_path)) == 4


def test_plans_of_past_epochs_leave_only_their_counts(tmp_path: Path):
    config = CutConfig(copies=0)
    first = plans(tmp_path, config)
    wanted = [len(plans(None, config).rows(epoch)) for epoch in range(6)]
    assert [len(first.rows(epoch)) for epoch in range(6)] == wanted
    assert len(files(tmp_path)) == 2 and sorted(first._open) == [4, 5]
    again = plans(tmp_path, config)
    assert [again.count(epoch).rows for epoch in range(6)] == wanted and not again._open
    assert again.rows(1).tolist() == plans(None, config).rows(1).tolist()  # made again
    assert [plans(None, config).count(epoch).rows for epoch in range(6)] == wanted


def test_an_empty_plan(tmp_path: Path):
    config = CutConfig()
    empty = memory_corpus()
    assert Plans(empty, cut_for(config, SPECIAL, 0), config, 0, tmp_path).rows(0).shape == (0, 6)
