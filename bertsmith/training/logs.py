"""metrics.jsonl and TensorBoard: one line per interval of steps and per validation, cut back at a resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bertsmith import console, store
from bertsmith.training.state import Step


@dataclass
class Interval:
    """Sums over the steps since the last line; kept in checkpoints, so that a resumed run writes the same lines."""

    losses: dict[str, float] = field(default_factory=dict)
    correct: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    wait: float = 0.0

    def add(self, step: Step) -> None:
        """Count one step in."""
        for name, count in step.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
            self.losses[name] = self.losses.get(name, 0.0) + step.losses[name]
            self.correct[name] = self.correct.get(name, 0.0) + step.correct[name]
        self.steps += 1
        self.tokens += step.tokens
        self.seconds += step.seconds
        self.wait += step.wait

    def means(self) -> dict[str, float]:
        """Mean loss per target, in nats, and accuracy of each objective, and `loss`, their sum."""
        named = {}
        for name, count in self.counts.items():
            named[f"{name}_loss"] = self.losses[name] / max(count, 1)
            named[f"{name}_accuracy"] = self.correct[name] / max(count, 1)
        return {"loss": sum(named[f"{name}_loss"] for name in self.counts), **named}

    def line(self, step: Step, tokens: int) -> dict[str, Any]:
        """The record for metrics.jsonl at `step`, `tokens` having been read since the start."""
        return {
            "step": step.number,
            **self.means(),
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            "tokens": tokens,
            "tokens_per_second": self.tokens / max(self.seconds, 1e-9),
            "data_wait": self.wait / max(self.seconds, 1e-9),
            "seconds": self.seconds,
        }

    def values(self) -> dict[str, Any]:
        """As JSON; `Interval(**values)` gives it back."""
        return asdict(self)


class Logs:
    """Appends to RUN/metrics.jsonl and, where tensorboard is installed, to RUN/tensorboard/."""

    def __init__(self, run: Path, step: int) -> None:
        """Continue after `step`: later lines, and a half-written last one, are cut off first."""
        self.path = run / "metrics.jsonl"
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        validations = [line for line in kept if "validation" in line]
        self.validated = validations[-1]["step"] if validations else -1
        self.last_validation: dict[str, float] = validations[-1]["validation"] if validations else {}
        store.write_atomic(self.path, "".join(_render(line) for line in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _open_board(run / "tensorboard", step)

    def train(self, line: Mapping[str, Any]) -> None:
        """Write one interval."""
        self._write(line)
        tags = {"loss": line["loss"], "lr": line["learning_rate"], "tokens_per_second": line["tokens_per_second"]}
        tags |= {name: value for name, value in line.items() if name.endswith(("_loss", "_accuracy"))}
        self._show({f"train/{name}": value for name, value in tags.items()}, line["step"])

    def validation(self, step: int, values: Mapping[str, float], metrics: Sequence[str] = ()) -> None:
        """Write one validation; its keys are TASK_METRIC, or CORPUS/TASK_METRIC where there are several corpora, or
        the names of the metrics of a task.
        """
        self._write({"step": step, "validation": dict(values)})
        self.validated, self.last_validation = step, dict(values)
        tasks = ("masked_lm", "pair")
        named = {f"eval/{t}/{k.removeprefix(t + '_')}": v for k, v in values.items() for t in tasks if k.startswith(t)}
        named |= {f"eval/{key}": value for key, value in values.items() if "/" in key or key in metrics}
        self._show(named, step)

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(_render(line))
            self._file.flush()
        except OSError as error:
            raise store.explain(error, self.path) from error

    def _show(self, values: Mapping[str, float], step: int) -> None:
        if self._board is not None:
            for tag, value in values.items():
                self._board.add_scalar(tag, value, step)


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl, up to the first that is not whole."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                return
            if not isinstance(values, dict) or not isinstance(values.get("step"), int):
                return
            yield values


def _render(line: Mapping[str, Any]) -> str:
    return json.dumps(line) + "\n"


def _open_board(folder: Path, step: int):
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        console.say("tensorboard is not installed: metrics go to metrics.jsonl alone")
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)
