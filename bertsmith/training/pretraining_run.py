"""A pretraining run in progress: its losses beside those of two guesses, and the model of its last step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bertsmith import console, store
from bertsmith.models.huggingface import remarks
from bertsmith.objectives.teacher_cache import TeacherCache
from bertsmith.training.checkpoint import write_model
from bertsmith.training.device import peak_memory
from bertsmith.training.run import MODEL_KIND, Run, speed_in_words
from bertsmith.training.validation import Baselines, Validation, interval


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
class PretrainingRun(Run):
    """validations: of each phase, on rows like its own; ends: the step before which each ends. cache: of what a teacher
    said, None without one; a finished run has no more use for it.
    """

    validations: Sequence[Validation] = field(kw_only=True)
    ends: Sequence[int] = field(kw_only=True)
    baselines: Baselines = field(kw_only=True)
    cache: TeacherCache | None = None

    @property
    def _validation_interval(self) -> int:
        return interval(self.training)

    def _guesses(self) -> dict[str, float]:
        if "masked_lm" not in self.sums.counts:
            return {}
        return {"unigram_loss": self.baselines.unigram, "uniform_loss": self.baselines.uniform}

    def _alarm(self, line: dict[str, Any], earlier: int) -> str:
        tenth = self.training.steps / 10
        if "unigram_loss" not in line or not earlier < tenth <= line["step"]:
            return ""
        if line["masked_lm_loss"] < self.baselines.unigram:
            return ""
        return (
            f"a tenth of the steps is done and the loss {line['masked_lm_loss']:.2f} is not below that of guessing"
            f" by frequency ({self.baselines.unigram:.2f}); try a higher training.learning_rate or more steps"
        )

    def _in_words(self, line: dict[str, Any]) -> str:
        return in_words(line)

    @property
    def _validation(self) -> Validation:
        """That of the phase which the last step was of."""
        return next(one for one, end in zip(self.validations, self.ends, strict=True) if self.state.step <= end)

    def _score(self) -> dict[str, float]:
        return self._validation.run(self.state) if self._validation.sequences else {}

    def _keep(self, values: dict[str, float]) -> None:
        if self.logs is not None:
            self.logs.validation(self.state.step, values)
        console.say(f"step {self.state.step}: validation {in_words(values)}")
        for name in self._validation.names:
            own = {key.removeprefix(f"{name}/"): value for key, value in values.items() if key.startswith(f"{name}/")}
            if own:
                console.say(f"step {self.state.step}: validation on {name}: {in_words(own)}")

    def _save(self) -> None:
        if self.cache is not None:  # first: what a checkpoint was trained on is there whenever the checkpoint is
            self.cache.flush()
        super()._save()

    def _finish(self) -> dict[str, Any]:
        """The model is written from the fp32 masters."""
        state = self.state
        result = PretrainingResult(
            steps=state.step,
            seconds=round(state.seconds, 3),
            tokens=state.tokens,
            validation=self.logs.last_validation if self.logs is not None else {},
            model=str(self.folder.model),
            peak_memory=peak_memory(self.device.torch_device),
        )
        return self.device.on_main(lambda: self._write_model(asdict(result)))

    def _write_model(self, result: dict[str, Any]) -> dict[str, Any]:
        made_by = self.checkpoints
        if self.cache is not None:
            self.cache.remove()
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
    if "distillation_loss" in line:
        agreed = f", same guess {line['distillation_accuracy']:.1%}" if line["distillation_accuracy"] else ""
        words.append(f"from the teacher {line['distillation_loss']:.3f}{agreed}")
    if "tokens_per_second" in line:
        words.append(speed_in_words(line))
    return ", ".join(words)
