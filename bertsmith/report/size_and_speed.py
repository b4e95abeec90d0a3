"""What a model weighs and how long it takes: parameters, megabytes on disk and in memory, milliseconds of a sentence.

All on the CPU, wherever the model is asked otherwise: a figure of one device says nothing beside that of another.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bertsmith.models.model import Model
from bertsmith.tasks.forward import TokenSequence, batches, device_of, single
from bertsmith.tasks.trained import Trained
from bertsmith.training.device import OtherWork

TIMED_SENTENCES = 100
TIMED_WORDS = 20  # of a made-up sentence, where no text is given
WARM_UP = 5  # sentences that are not counted: kernels are chosen on them
TURN = 10  # sentences of one model, then of the next: load of the machine meets all, yet weights stay in the caches


def sizes_and_speeds(models: Sequence[Trained], lines: Sequence[str], max_length: int) -> list[dict[str, Any]]:
    """parameters, megabytes, memory_megabytes, forward_megabytes, milliseconds, threads and busy_cores of each model.

    megabytes: the weights as a file. memory_megabytes: the weights as loaded, each once however many parts use it.
    forward_megabytes: the most that a forward pass without gradients holds on top of them, over one batch of the lines
    that are timed, the longest first and 1,024 tokens at most: every tensor that an operation gave and that is still in
    use; what a kernel needs within one operation is not seen. Megabytes are 10^6 bytes.

    milliseconds: the median time of one line alone, from its characters to its hidden states, over up to 100 of `lines`
    spread evenly, the models taking turns. threads: of them all. busy_cores: kept busy by other processes meanwhile.
    Lines are cut at `max_length` tokens; where there are none, made-up ones of 20 words take their place.
    """
    chosen = _chosen(lines)
    devices = [device_of(trained.model) for trained in models]
    for trained in models:
        trained.model.to("cpu")
    try:
        others = OtherWork()
        times = _milliseconds(models, chosen, max_length)
        speed = {"threads": torch.get_num_threads(), "busy_cores": others.cores()}
        sizes = [_sizes(trained, [_sequence(trained, line, max_length) for line in chosen]) for trained in models]
    finally:
        for trained, device in zip(models, devices, strict=True):
            trained.model.to(device)
    return [{**size, "milliseconds": time, **speed} for size, time in zip(sizes, times, strict=True)]


def _chosen(lines: Sequence[str]) -> list[str]:
    if not lines:
        return [" ".join(["time"] * TIMED_WORDS)] * TIMED_SENTENCES
    step = max(1, len(lines) // TIMED_SENTENCES)
    return list(lines[::step][:TIMED_SENTENCES])


def _sequence(trained: Trained, line: str, max_length: int) -> TokenSequence:
    token_ids = trained.tokenizer.encode_with_offsets(line)[0][: max_length - 2]
    return single(token_ids.astype(np.int64), trained.tokenizer.special)


def _milliseconds(models: Sequence[Trained], lines: Sequence[str], max_length: int) -> list[float]:
    seconds: list[list[float]] = [[] for _ in models]
    for trained in models:
        for line in lines[:WARM_UP]:
            _seconds(trained, line, max_length)
    for start in range(0, len(lines), TURN):
        for trained, own in zip(models, seconds, strict=True):
            own += [_seconds(trained, line, max_length) for line in lines[start : start + TURN]]
    return [1000 * median(own) for own in seconds]


@torch.inference_mode()
def _seconds(trained: Trained, line: str, max_length: int) -> float:
    started = time.perf_counter()
    for _, batch in batches([_sequence(trained, line, max_length)], torch.device("cpu")):
        trained.model(batch)
    return time.perf_counter() - started


def _sizes(trained: Trained, sequences: Sequence[TokenSequence]) -> dict[str, Any]:
    return {
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "megabytes": (trained.folder / "model.safetensors").stat().st_size / 1e6,
        "memory_megabytes": bytes_of_weights(trained.model) / 1e6,
        "forward_megabytes": bytes_of_forward(trained.model, sequences) / 1e6,
    }


def bytes_of_weights(model: Model) -> int:
    """Bytes of a model's weights and buffers in memory."""
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))


def bytes_of_forward(model: Model, sequences: Sequence[TokenSequence]) -> int:
    """Most bytes that a forward pass over the first batch of the sequences holds beside weights and batch."""
    _, batch = next(iter(batches(sequences, device_of(model))))
    given = (batch.token_ids, batch.type_ids, batch.positions, batch.lengths)
    with torch.inference_mode(), _Held([*model.parameters(), *model.buffers(), *given]) as held:
        model(batch)
    return held.most


class _Held(TorchDispatchMode):
    """Counts the bytes of tensors that operations give while it is open, until they are let go. most: at one time."""

    def __init__(self, before: Sequence[Tensor]) -> None:
        super().__init__()
        self.most = self._now = 0
        self._known = {tensor.untyped_storage().data_ptr() for tensor in before}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Makes the operation and notes what it gave; a view of what is known is nothing new."""
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self._known:
                self._note(tensor.untyped_storage())
        return found

    def _note(self, storage: torch.UntypedStorage) -> None:
        place, size = storage.data_ptr(), storage.nbytes()
        if not size:
            return
        self._known.add(place)
        self._now += size
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._let_go, place, size)

    def _let_go(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size
