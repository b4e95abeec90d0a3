"""A run in progress: steps, lines of metrics, validations, checkpoints, and the finished model."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith import console, store
from bertsmith.data.mixture import Batches
from bertsmith.errors import Interrupted, Stopped
from bertsmith.models.huggingface import remarks
from bertsmith.training.budget import phase_ends
from bertsmith.training.checkpoint import BYTES_PER_PARAMETER, Checkpoints, write_model
from bertsmith.training.device import Device
from bertsmith.training.logs import Interval, Logs
from bertsmith.training.loop import agreed_signal, steps
from bertsmith.training.plan import PretrainingPlan, batches_from
from bertsmith.training.run_folder import RunFolder
from bertsmith.training.state import State, Step
from bertsmith.training.validation import Baselines, Validation, interval

MODEL_KIND = "model"
SLOWED = 3.0  # times as slow as the best interval: more than noise
SPARE_BYTES = 50_000_000  # logs, plans and the tokenizer, on top of checkpoints and the model


@dataclass(frozen=True)
class PretrainingResult:
    """What a run came to.

    steps, tokens: of the whole run. seconds: in steps, over all resumes. validation: see Validation.run, {} without a
    validation part. model: the Hugging Face folder. peak_memory: bytes, of the first rank (of its GPU if it has one).
    """

    steps: int
    seconds: float
    tokens: int
    validation: dict[str, float]
    model: str
    peak_memory: int


@dataclass
class Run:
    """plan: resolved. sums: since the last line of metrics. logs: None on every rank but the first."""

    plan: PretrainingPlan
    folder: RunFolder
    device: Device
    state: State
    sources: list[Batches]
    validation: Validation
    baselines: Baselines
    checkpoints: Checkpoints
    sums: Interval
    logs: Logs | None = None
    saved: int = -1
    fastest: float = 0.0
    """Tokens a second of the best interval so far; infinite once it was said that a later one is far slower."""

    def restore(self) -> None:
        """Take up the newest valid checkpoint, if there is one, and cut the logs back to it."""
        path = self.device.on_main(self._newest)
        if path:
            extra = self.checkpoints.load(Path(path), self.state)
            self.sums = Interval(**extra["interval"])
            self.saved = self.state.step
            console.say(f"resuming after step {self.state.step} of {self.plan.training.steps}")
        if self.device.main:
            self.logs = Logs(self.folder.path, self.state.step)

    def _newest(self) -> str:
        return str(self.checkpoints.newest() or "")

    def require_space(self) -> None:
        """Try to write, and see that all checkpoints and the model fit, before the first step."""
        size = self.state.optimizer.masters.numel()
        copies = BYTES_PER_PARAMETER * (self.plan.training.keep + 1) + 4
        needed = size * copies + SPARE_BYTES - store_size(self.folder)
        self.device.on_main(lambda: store.require_space(self.folder.path, max(needed, 0)))

    def train(self) -> PretrainingResult:
        """Go on to the last step; Stopped or Interrupted, with a checkpoint saved, when a signal asks for it."""
        training = self.plan.training
        ends = phase_ends(training.steps, self.plan.long_phase)
        batches = batches_from(self.sources, ends, self.state.step, training.workers)
        text = ""
        try:
            if self._validation_missing():
                self._stop_if_asked(self._validate())
            with console.Progress(training.steps, "steps") as progress:
                for step in steps(self.state, batches, training, self.device):
                    self.sums.add(step)
                    text = self._log(step) or text
                    progress.update(step.number, text)
                    stop = step.stop
                    if self._is_due(interval(training)):
                        stop = self._validate() or stop
                    if stop or (training.save_every and self._is_due(training.save_every)) or self._is_last:
                        self._save()
                    self._stop_if_asked(stop)
            return self._finish()
        finally:
            if self.logs is not None:
                self.logs.close()

    @property
    def _is_last(self) -> bool:
        return self.state.step == self.plan.training.steps

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self._is_last

    def _log(self, step: Step) -> str:
        """Write a line of metrics when one is due; returns it in words."""
        if not self._is_due(self.plan.training.log_every):
            return ""
        baselines = {}
        if "masked_lm" in self.sums.counts:
            baselines = {"unigram_loss": self.baselines.unigram, "uniform_loss": self.baselines.uniform}
        line = {**self.sums.line(step, self.state.tokens), **baselines}
        earlier = step.number - self.sums.steps
        self.sums = Interval()
        if self.logs is not None:
            self.logs.train(line)
        self._notice_slowness(line["tokens_per_second"])
        tenth = self.plan.training.steps / 10
        if baselines and earlier < tenth <= step.number and line["masked_lm_loss"] >= self.baselines.unigram:
            console.warn(
                f"a tenth of the steps is done and the loss {line['masked_lm_loss']:.2f} is not below that of guessing"
                f" by frequency ({self.baselines.unigram:.2f}); try a higher training.learning_rate or more steps"
            )
        return in_words(line)

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
        due = self.state.step > 0 and self._is_due(interval(self.plan.training))
        missing = self.logs is not None and self.logs.validated < self.state.step
        return self.device.maximum(float(due and missing)) > 0

    def _validate(self) -> str:
        """Score the validation part and log it; returns the signal that cut it short, or came meanwhile, or ""."""
        if not self.validation.sequences:
            return ""
        values = self.validation.run(self.state)
        if values and self.logs is not None:
            self.logs.validation(self.state.step, values)
        if values:
            console.say(f"step {self.state.step}: validation {in_words(values)}")
        for name in self.validation.names:
            own = {key.removeprefix(f"{name}/"): value for key, value in values.items() if key.startswith(f"{name}/")}
            if own:
                console.say(f"step {self.state.step}: validation on {name}: {in_words(own)}")
        return agreed_signal(self.device)

    def _save(self) -> None:
        if self.saved == self.state.step:
            return
        extra = {"interval": self.sums.values()}
        keep = self.plan.training.keep
        self.device.on_main(lambda: str(self.checkpoints.save(self.state, extra, keep)))
        self.saved = self.state.step

    def _stop_if_asked(self, signal: str) -> None:
        if not signal:
            return
        where = f"after step {self.state.step} of {self.plan.training.steps}"
        what = "a checkpoint is saved; type the same line again to go on"
        if signal == "SIGINT":
            raise Interrupted(f"interrupted {where}; {what}")
        raise Stopped(f"stopped by {signal} {where}; {what}")

    def _finish(self) -> PretrainingResult:
        """Write RUN/model from the fp32 masters, then the result, which marks the run as finished."""
        state = self.state
        result = PretrainingResult(
            steps=state.step,
            seconds=round(state.seconds, 3),
            tokens=state.tokens,
            validation=self.logs.last_validation if self.logs is not None else {},
            model=str(self.folder.model),
            peak_memory=peak_memory(self.device.torch_device),
        )
        values = self.device.on_main(lambda: self._write_model(asdict(result)))
        return PretrainingResult(**values)

    def _write_model(self, result: dict[str, Any]) -> dict[str, Any]:
        made_by = self.checkpoints
        with store.writing(self.folder.model, MODEL_KIND, made_by.fingerprints) as partial:
            write_model(self.state, made_by.tokenizer, made_by.max_length, partial)
        self.folder.write_result(result)
        for remark in remarks(self.state.model.config, tuple(self.state.model.heads)):
            console.say(remark)
        return result


def in_words(line: dict[str, Any]) -> str:
    """A line of metrics for people: losses beside those of the two guesses, accuracies, speed, time waited for data."""
    words = []
    if "masked_lm_loss" in line:
        guesses = f"unigram {line['unigram_loss']:.2f}, uniform {line['uniform_loss']:.2f}"
        words.append(f"loss {line['masked_lm_loss']:.3f} ({guesses})")
        words.append(f"masked tokens right {line['masked_lm_accuracy']:.1%}")
    if "pair_loss" in line:
        words.append(f"pairs right {line['pair_accuracy']:.1%}")
    if "tokens_per_second" in line:
        words.append(f"{console.count(line['tokens_per_second'])} tokens/s, data wait {line['data_wait']:.1%}")
    return ", ".join(words)


def store_size(folder: RunFolder) -> int:
    """Bytes that the run's checkpoints already take: a resumed run replaces them."""
    return sum(path.stat().st_size for path in folder.checkpoints.rglob("*") if path.is_file())


def peak_memory(device: torch.device) -> int:
    """Most bytes that were in use: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
