"""A fine-tuning run in progress: the best of its models by validation is kept, and it may end early."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bertsmith import config, console, store
from bertsmith.models.task_models import RAW, Scale
from bertsmith.training.checkpoint import write_model
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import peak_memory
from bertsmith.training.run import MODEL_KIND, Run, speed_in_words
from bertsmith.training.state import State

BEST_KIND = "best model"
VALIDATIONS = 4  # of a run of at most two epochs; a longer one is validated every epoch
SHORT_EPOCHS = 2


@dataclass(frozen=True)
class FinetuningPlan:
    """What is asked for. task: what decides the result besides `training`, as plain values; task_type: the config whose
    fields most of them are.
    """

    name: str
    seed: int
    training: TrainingConfig
    task: Mapping[str, Any]
    task_type: type

    def values(self) -> dict[str, Any]:
        """All that decides the result, as plain nested values: what a resumed run is compared by."""
        return {"seed": self.seed, "training": config.to_values(self.training), "task": dict(self.task)}

    def defaults(self) -> dict[str, Any]:
        """What fields are where nothing is said, by dotted key."""
        parts = {"training": type(self.training), "task": self.task_type}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in config.defaults(part).items()}

    def recipe(self, resolved: Mapping[str, Any]) -> dict[str, Any]:
        """The tables of recipe.toml, with the values that were settled."""
        return config.merge({"name": self.name}, resolved)


@dataclass(frozen=True)
class FinetuningResult:
    """What a run came to.

    steps, tokens: of the whole run. seconds: in steps, over all resumes. validation: metrics of the best model, {}
    without a validation part; best_step: where it was found. model: the Hugging Face folder. history: every validation
    as {"step", "epoch", metrics}. peak_memory: bytes, of the first rank. truncated: training examples that were cut.
    """

    steps: int
    seconds: float
    tokens: int
    validation: dict[str, float]
    best_step: int
    model: str
    history: list[dict[str, Any]]
    peak_memory: int
    truncated: int


def validation_interval(training: TrainingConfig, steps: int, steps_per_epoch: int) -> int:
    """Steps between validations: as asked, else an epoch, and of a run of few epochs a quarter of it."""
    if training.validate_every:
        return training.validate_every
    short = steps <= SHORT_EPOCHS * steps_per_epoch
    return max(1, -(-steps // VALIDATIONS)) if short else steps_per_epoch


@dataclass
class FinetuningRun(Run):
    """validate: metrics of the model as it is, {} where there is no validation part or a signal cut it short; `metrics`
    decide, in their order. finish_model: writes what lies beside weights and tokenizer into a model folder.
    truncated: of the training examples. scale: that a regression is trained in; models are written without it,
    checkpoints as they are.
    """

    validate: Callable[[State], dict[str, float]] = field(kw_only=True)
    metrics: tuple[str, ...] = field(kw_only=True)
    patience: int = field(kw_only=True)
    steps_per_epoch: int = field(kw_only=True)
    finish_model: Callable[[Path], None] = field(kw_only=True)
    truncated: int = field(kw_only=True)
    scale: Scale = RAW
    history: list[dict[str, Any]] = field(default_factory=list)
    models: float = 3.0  # the finished one, the best, and the best before it
    saves_last: bool = False  # the model itself is written at once

    @property
    def _validation_interval(self) -> int:
        return self.training.validate_every

    @property
    def _best(self) -> int:
        """Index in the history of the best validation, the first of equals; -1 where there is none."""
        values = [self._value(entry) for entry in self.history]
        return values.index(max(values)) if values else -1

    def _value(self, entry: Mapping[str, Any]) -> list[float]:
        """What decides: the first metric, of equals the next one; what is undefined is worse than any value."""
        values = [float(entry[name]) for name in self.metrics if name in entry]
        return [value if math.isfinite(value) else -math.inf for value in values]

    @property
    def _ends(self) -> bool:
        waited = len(self.history) - 1 - self._best
        return self.state.step == self.training.steps or 0 < self.patience <= waited

    def _extra(self) -> dict[str, Any]:
        return {**super()._extra(), "history": self.history}

    def _take_up(self, extra: dict[str, Any]) -> None:
        super()._take_up(extra)
        self.history = extra["history"]

    def _in_words(self, line: dict[str, Any]) -> str:
        right = f"right {line['labelled_accuracy']:.1%}"
        return f"loss {line['labelled_loss']:.3f}, {right}, {speed_in_words(line)}"

    def _score(self) -> dict[str, float]:
        return self.validate(self.state)

    def _keep(self, values: dict[str, float]) -> None:
        """Log, tell, and write the model down when it is the best so far."""
        step = self.state.step
        if self.logs is not None:
            self.logs.validation(step, values, self.metrics)
        self.history.append({"step": step, "epoch": round(step / self.steps_per_epoch, 3), **values})
        shown = ", ".join(f"{name} {values[name]:.4f}" for name in self.metrics if name in values)
        best = self._best == len(self.history) - 1
        console.say(f"step {step}: validation {shown}{' (best so far)' if best else ''}")
        if best:
            self.device.on_main(lambda: self._write(self.folder.best / f"step-{step}", BEST_KIND))
        if self._ends and step < self.training.steps:
            console.say(f"step {step}: no gain in the last {self.patience} validations, so training ends here")

    def _write(self, folder: Path, kind: str) -> None:
        made_by = self.checkpoints
        with store.writing(folder, kind, made_by.fingerprints) as partial:
            write_model(self.state, made_by.tokenizer, made_by.max_length, partial, self.scale)
            self.finish_model(partial)

    def _save(self) -> None:
        """Models that were the best once are removed only when no resume can come back to them."""
        super()._save()
        self.device.on_main(self._remove_overtaken)

    def _remove_overtaken(self) -> None:
        best = f"step-{self.history[self._best]['step']}" if self.history else ""
        for path in self.folder.best.glob("step-*"):
            if path.name != best:
                shutil.rmtree(path, ignore_errors=True)

    def _finish(self) -> dict[str, Any]:
        """The model is that of the best validation; without any, that of the last step."""
        state, best = self.state, self.history[self._best] if self.history else {}
        result = FinetuningResult(
            steps=state.step,
            seconds=round(state.seconds, 3),
            tokens=state.tokens,
            validation={name: value for name, value in best.items() if name not in ("step", "epoch")},
            best_step=best.get("step", state.step),
            model=str(self.folder.model),
            history=self.history,
            peak_memory=peak_memory(self.device.torch_device),
            truncated=self.truncated,
        )
        return self.device.on_main(lambda: self._write_result(asdict(result)))

    def _write_result(self, result: dict[str, Any]) -> dict[str, Any]:
        if self.history:
            best = self.folder.best / f"step-{result['best_step']}"
            store.verify(best, BEST_KIND)
            with store.writing(self.folder.model, MODEL_KIND, self.checkpoints.fingerprints) as partial:
                store.link_files(best, partial, without=(store.MANIFEST,))
        else:
            self._write(self.folder.model, MODEL_KIND)
        self.folder.write_result(result)
        remove_leftovers(self.folder.best, self.folder.checkpoints)
        return result


def remove_leftovers(*folders: Path) -> None:
    """What only a resume would need: a finished run keeps its model alone, which is a tenth of it."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
