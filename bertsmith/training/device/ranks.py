"""Ranks under torchrun (gloo on CPUs, nccl on GPUs), or one process alone: the same calls either way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from bertsmith import console, errors
from bertsmith.errors import BertsmithError, UsageError

TIMEOUT = timedelta(seconds=90)  # a rank that says nothing for so long counts as lost
PATIENCE = timedelta(hours=1)  # what the first rank does for all, such as saving a large model to a slow disk, may take
T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """This process: its torch device and its place among the ranks."""

    torch_device: torch.device
    rank: int = 0
    world: int = 1
    local_world: int = 1
    patient: distributed.ProcessGroup | None = None
    """The group in which the others wait for the first rank; a rank that dies ends the wait at once all the same."""

    @property
    def main(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over the ranks, in float64; the same numbers on every rank."""
        return self._reduce(values, distributed.ReduceOp.SUM)

    def maximum(self, value: float) -> float:
        """The largest of the ranks' values: how stop decisions are agreed."""
        return self._reduce([value], distributed.ReduceOp.MAX)[0]

    def sum_(self, flat: Tensor) -> None:
        """Replace a tensor by its sum over the ranks."""
        if self.world > 1:
            with _lost_rank_named():
                distributed.all_reduce(flat)

    def on_main(self, action: Callable[[], T]) -> T:
        """Run `action` (its result is JSON) on rank 0 and return its result, or raise its error, on every rank."""
        if self.world == 1:
            return action()
        failure: BertsmithError | None = None
        answer: dict[str, object] = {}
        if self.main:
            try:
                answer = {"result": action()}
            except BertsmithError as error:
                failure = error
                answer = {"error": type(error).__name__, "message": str(error)}
        answer = self._broadcast(answer)
        if failure is not None:
            raise failure
        if "error" in answer:
            raise getattr(errors, str(answer["error"]))(answer["message"])
        return answer["result"]  # type: ignore[return-value]

    def _reduce(self, values: Sequence[float], operation: distributed.ReduceOp.RedOpType) -> list[float]:
        if self.world == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.torch_device)
        with _lost_rank_named():
            distributed.all_reduce(tensor, operation)
        return tensor.tolist()

    def _broadcast(self, value: dict[str, object]) -> dict[str, object]:
        """As JSON in a byte tensor: torch's own object broadcast unpickles what another process sends."""
        data = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
        size = torch.tensor([data.numel()])
        with _lost_rank_named():
            distributed.broadcast(size, 0, self.patient)
            data = data if self.main else torch.zeros(int(size), dtype=torch.uint8)
            distributed.broadcast(data, 0, self.patient)
        return json.loads(bytes(data.tolist()))


@contextmanager
def _lost_rank_named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise BertsmithError(f"another rank has ended or does not answer, so this one stops too ({reason})") from error


@contextmanager
def open_device() -> Iterator[Device]:
    """This process's device; joins the other ranks when torchrun has started it (WORLD_SIZE, RANK, LOCAL_RANK)."""
    local_rank = _variable("LOCAL_RANK", 0)
    cuda = torch.cuda.is_available()
    if cuda and local_rank >= torch.cuda.device_count():
        raise UsageError(f"torchrun started more ranks than the {torch.cuda.device_count()} GPUs of this machine")
    place = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(place)
        # Sums by atomic additions differ from run to run; exact resume needs the ordered kernels.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    world = _variable("WORLD_SIZE", 1)
    if world == 1:
        yield Device(place)
        return
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT)
    try:
        patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
        assert isinstance(patient, distributed.ProcessGroup), "every rank belongs to it"
        device = Device(place, distributed.get_rank(), world, _variable("LOCAL_WORLD_SIZE", world), patient)
        console.set_quiet(not device.main)
        yield device
    finally:
        distributed.destroy_process_group()


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdigit():
        raise UsageError(f"environment variable {name} is {text!r}, not a number")
    return int(text or default)
