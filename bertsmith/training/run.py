"""A run in progress: steps, lines of metrics, validations, checkpoints, and the finished model.

What is particular to a kind of training is in the subclasses of `Run`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith import console, store
from bertsmith.batch import Batch
from bertsmith.errors import Interrupted, Stopped
from bertsmith.training.checkpoint import BYTES_PER_PARAMETER, Checkpoints
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device
from bertsmith.training.logs import Interval, Logs
from bertsmith.training.loop import agreed_signal, steps
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.state import State, Step

MODEL_KIND = "model"
SLOWED = 3.0  # times as slow as the best interval: more than noise
SPARE_BYTES = 50_000_000  # logs, plans and the tokenizer, on top of checkpoints and the model


@dataclass
class Run(ABC):
    """training: resolved. batches: from a step on. sums: since the last line of metrics. logs: None on every rank but
    the first.
    """

    training: TrainingConfig
    folder: RunFolder
    device: Device
    state: State
    batches: Callable[[int], Iterator[list[Batch]]]
    checkpoints: Checkpoints
    sums: Interval
    logs: Logs | None = None
    saved: int = -1
    fastest: float = 0.0
    """Tokens a second of the best interval so far; infinite once it was said that a later one is far slower."""
    models: float = 1.0
    """Models, in fp32, that lie in the folder beside the checkpoints when most is there."""
    other_bytes: int = 0
    """What else the run has yet to write."""
    saves_last: bool = True
    """Whether the last step has a checkpoint as any other that is due."""

    def restore(self) -> None:
        """Take up the newest valid checkpoint, if there is one, and cut the logs back to it."""
        path = self.device.on_main(self._newest)
        if path:
            self._take_up(self.checkpoints.load(Path(path), self.state))
            self.saved = self.state.step
            console.say(f"resuming after step {self.state.step} of {self.training.steps}")
        if self.device.main:
            self.logs = Logs(self.folder.path, self.state.step)

    def _newest(self) -> str:
        return str(self.checkpoints.newest() or "")

    def _extra(self) -> dict[str, Any]:
        """What a checkpoint keeps of the run (JSON)."""
        return {"interval": self.sums.values()}

    def _take_up(self, extra: dict[str, Any]) -> None:
        """Go on from what `_extra` gave."""
        self.sums = Interval(**extra["interval"])

    def require_space(self) -> None:
        """Try to write, and see that all checkpoints and the model fit, before the first step."""
        size = self.state.optimizer.masters.numel()
        copies = BYTES_PER_PARAMETER * (self.training.keep + 1) + 4 * self.models
        needed = max(int(size * copies) + SPARE_BYTES - store_size(self.folder), 0) + self.other_bytes
        self.device.on_main(lambda: store.require_space(self.folder.path, needed))

    def train(self) -> dict[str, Any]:
        """Go on to the end; Stopped or Interrupted, with a checkpoint saved, when a signal asks for it.

        Returns the result, as JSON.
        """
        text = ""
        try:
            if self._validation_missing():
                self._stop_if_asked(self._validate())
            if self._ends:
                return self._finish()
            with console.Progress(self.training.steps, "steps") as progress:
                for step in steps(self.state, self.batches(self.state.step), self.training, self.device):
                    self.sums.add(step)
                    text = self._log(step) or text
                    progress.update(step.number, text)
                    stop = step.stop
                    if self._is_due(self._validation_interval):
                        stop = self._validate() or stop
                    if stop or self._save_is_due:
                        self._save()
                    self._stop_if_asked(stop)
                    if self._ends:
                        break
            return self._finish()
        finally:
            if self.logs is not None:
                self.logs.close()

    @property
    def _ends(self) -> bool:
        """Whether the step just made is the last one."""
        return self.state.step == self.training.steps

    @property
    @abstractmethod
    def _validation_interval(self) -> int:
        """Steps between validations."""

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.training.steps

    @property
    def _save_is_due(self) -> bool:
        if self._ends:
            return self.saves_last
        return bool(self.training.save_every) and self._is_due(self.training.save_every)

    def _log(self, step: Step) -> str:
        """Write a line of metrics when one is due; returns it in words."""
        if not self._is_due(self.training.log_every):
            return ""
        line = {**self.sums.line(step, self.state.tokens), **self._guesses()}
        earlier = step.number - self.sums.steps
        self.sums = Interval()
        if self.logs is not None:
            self.logs.train(line)
        self._notice_slowness(line["tokens_per_second"])
        alarm = self._alarm(line, earlier)
        if alarm:
            console.warn(alarm)
        return self._in_words(line)

    def _guesses(self) -> dict[str, float]:
        """What stands beside the losses in each line of metrics."""
        return {}

    def _alarm(self, line: dict[str, Any], earlier: int) -> str:
        """A warning where a line says that something is wrong, or "". earlier: the step of the line before."""
        return ""

    @abstractmethod
    def _in_words(self, line: dict[str, Any]) -> str:
        """A line of metrics for people."""

    def _notice_slowness(self, speed: float) -> None:
        """Say once that other work slows this run down; several threads wait for the slowest of them."""
        if math.isfinite(self.fastest) and speed * SLOWED < self.fastest:
            fewer = torch.get_num_threads() > 1
            console.warn(
                f"steps take {self.fastest / speed:.1f} times as long as at their best: the machine is busy with other"
                f" work{'; beside it --training.threads 1 may be faster, in a new run' if fewer else ''}"
            )
            self.fastest = math.inf
        self.fastest = max(self.fastest, speed)

    def _validation_missing(self) -> bool:
        """Whether the step resumed from was due for a validation that a signal cut short."""
        due = self.state.step > 0 and self._is_due(self._validation_interval)
        missing = self.logs is not None and self.logs.validated < self.state.step
        return self.device.maximum(float(due and missing)) > 0

    @abstractmethod
    def _score(self) -> dict[str, float]:
        """The values of a validation, the same on every rank; {} where there is none, or a signal cut it short."""

    def _validate(self) -> str:
        """Score the validation part and log it; returns the signal that cut it short, or came meanwhile, or ""."""
        values = self._score()
        if values:
            self._keep(values)
        return agreed_signal(self.device)

    @abstractmethod
    def _keep(self, values: dict[str, float]) -> None:
        """Log and tell the values of a validation."""

    def _save(self) -> None:
        if self.saved == self.state.step:
            return
        extra = self._extra()
        self.device.on_main(lambda: str(self.checkpoints.save(self.state, extra, self.training.keep)))
        self.saved = self.state.step

    def _stop_if_asked(self, signal: str) -> None:
        if not signal:
            return
        where = f"after step {self.state.step} of {self.training.steps}"
        what = "a checkpoint is saved; type the same line again to go on"
        if signal == "SIGINT":
            raise Interrupted(f"interrupted {where}; {what}")
        raise Stopped(f"stopped by {signal} {where}; {what}")

    @abstractmethod
    def _finish(self) -> dict[str, Any]:
        """Write RUN/model, then the result, which marks the run as finished; returns it, as JSON."""


def speed_in_words(line: dict[str, Any]) -> str:
    """Speed and time waited for data, of a line of metrics."""
    return f"{console.count(line['tokens_per_second'])} tokens/s, data wait {line['data_wait']:.1%}"


def store_size(folder: RunFolder) -> int:
    """Bytes that the run's checkpoints already take: a resumed run replaces them."""
    return sum(path.stat().st_size for path in folder.checkpoints.rglob("*") if path.is_file())
