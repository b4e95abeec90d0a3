"""A run's cache of what its teacher said: how large it becomes, whether it pays and fits, before step 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith import console
from bertsmith.data.batches import BatchSource
from bertsmith.data.mixture import Batches, Mixture
from bertsmith.errors import UsageError
from bertsmith.objectives.likeliest import record_type
from bertsmith.objectives.table import distillation_in
from bertsmith.objectives.teacher_cache import TeacherCache
from bertsmith.training.checkpoint import steps_in
from bertsmith.training.device import Device
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.state import State

KEY = "objectives.distillation.cache_top_k"


@dataclass(frozen=True)
class OpenedCache:
    """missing_bytes: that the file has yet to grow."""

    file: TeacherCache
    missing_bytes: int


def open_cache(
    plan: PretrainingPlan,
    sources: Sequence[Batches],
    ends: Sequence[int],
    state: State,
    folder: RunFolder,
    device: Device,
    fresh: bool,
) -> OpenedCache | None:
    """Give the run's distillation its cache, and its batches the numbers to find it by; None where none is asked for.

    plan: resolved. ends: the step before which each phase ends. fresh: nothing was settled in this folder before, so
    whatever a cache there holds is of another run. UsageError where nothing would be read twice.
    """
    distillation = distillation_in(state.objectives)
    if distillation is None or not plan.objectives.keeps_words:
        return None
    if device.local_world < device.world:
        raise UsageError(f"{KEY}: is a file that the ranks of one machine share, and these are on several; set it to 0")
    positions = _number_positions(sources, ends)
    record = record_type(distillation.config.cache_top_k, plan.model.vocab_size)
    size = positions * record.itemsize
    path = folder.teacher_cache
    there = device.on_main(lambda: _begin(path, folder, plan.training.steps, fresh))
    missing = max(size - int(there), 0)
    console.say(
        f"the teacher's {distillation.config.cache_top_k} likeliest words are kept for later epochs:"
        f" {console.count(positions)} positions of {record.itemsize} bytes, {size / 1e6:,.1f} MB in {path} until the"
        " run is finished"
    )
    distillation.cache = TeacherCache(path, record)
    return OpenedCache(distillation.cache, missing)


def _number_positions(sources: Sequence[Batches], ends: Sequence[int]) -> int:
    """Number the positions of all corpora and phases one after another; returns how many there are.

    The teacher is spared a batch when all of its sequences come again, so of several corpora the slowest one decides.
    """
    first = begin = 0
    slowest: list[tuple[int, int]] = []  # of each phase: the epochs of a corpus, and those before it comes again
    for source, end in zip(sources, ends, strict=True):
        reached: list[tuple[int, int]] = []
        for member in _members(source) if end > begin else ():
            if not member.period:
                raise UsageError(f"{KEY}: cut.copies is 0, so every epoch is cut anew and nothing comes again; set it")
            epochs = member.place(end - begin - 1)[0] + 1
            reached.append((epochs, member.period))
            first = member.number_positions(epochs, first)
        if reached:
            slowest.append(min(reached, key=_rounds))
        begin = end
    epochs, period = max(slowest, key=_rounds)
    if epochs <= period:
        raise UsageError(
            f"{KEY}: sequences and masks come again after {period} epoch(s) (cut.copies, masking.copies) and the run"
            f" ends in epoch {epochs}, so nothing would ever be read twice; train longer, take fewer copies, or set it"
            " to 0"
        )
    return first


def _rounds(reached: tuple[int, int]) -> float:
    return reached[0] / reached[1]


def _members(source: Batches) -> Sequence[BatchSource]:
    return source.members if isinstance(source, Mixture) else [source]


def _begin(path: Path, folder: RunFolder, steps: int, fresh: bool) -> int:
    """Bytes on disk of the cache to go on with; 0 where there is none."""
    if fresh:
        path.unlink(missing_ok=True)
    if path.exists():
        return path.stat().st_blocks * 512
    if max(steps_in(folder.checkpoints), default=steps) < steps:
        console.warn(f"{path} is gone: the teacher is asked again, and the run goes on, but no longer bit for bit")
    return 0
