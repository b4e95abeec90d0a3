"""How a model is fine-tuned: what may be set, and what is taken by task, width and number of examples.

From BERT-base's width up the published values hold (Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5, 2 to 4 epochs,
batches of 16 or 32). Narrower encoders hardly move at such rates and get larger ones: at 256 wide the rate was swept
(docs/results.md), at 512 it lies between, and the narrowest learn little below 1e-3 in so short a time. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from bertsmith import config
from bertsmith.errors import UsageError
from bertsmith.training.config import BUDGETS, TrainingConfig

if TYPE_CHECKING:
    from bertsmith.tasks.task import Form, Task

Count = Annotated[int, Field(ge=0)]


def _told(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TaskConfig:
    """How examples of a task become sequences, and how the best model is found."""

    max_length: Count = _told(
        0, "longest sequence in tokens, special tokens included; 0 = the model's (384 at most for answering)"
    )
    stride: Annotated[int, Field(ge=1)] = _told(
        128, "tokens that two windows of a long text have in common, at most 0.4 of a window (answering, tagging)"
    )
    max_answer_length: Annotated[int, Field(ge=1)] = _told(30, "tokens of the longest answer that is given")
    class_weights: Literal["none", "balanced"] = _told(
        "none", "balanced = an example counts the more, the rarer its class is (classification)"
    )
    patience: Count = _told(0, "validations without a gain after which training ends; 0 = it never ends early")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = _told(
        1.0, "learning rate of a layer as a share of the one above it; 1 = all alike"
    )
    dropout: Annotated[float, Field(ge=-1, lt=1)] = _told(
        -1.0,
        "dropout of hidden states and attention while fine-tuning; -1 = as the model was pretrained with (simcse: 0.1"
        " where that is 0)",
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = _told(
        0.1, "share of the training part that is held out where the data have no validation part"
    )
    tokens_at_once: Annotated[int, Field(ge=512)] = _told(
        8192, "most tokens of one forward pass in training; a step of more is divided (same result, less memory)"
    )
    objective: Literal["auto", "contrastive", "simcse", "cosine"] = _told(
        "auto",
        "sentence-pairs: contrastive = partners are found among the other pairs of a batch; simcse = a sentence is"
        " found again under other dropout; cosine = the cosine comes close to a score; auto = what the data allow",
    )
    temperature: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = _told(
        0.05, "sentence-pairs: cosines are divided by it in the contrastive loss; less = the nearest count for more"
    )
    pooling: Literal["mean", "cls"] = _told(
        "mean", "the vector of a text: mean of its tokens, special ones included, or its first token"
    )
    normalize: bool = _told(False, "whether vectors of texts are given with length 1")
    threshold: Annotated[float, Field(ge=-1, le=1)] = _told(
        0.5, "cosine from which on two texts are said to belong together; found on training pairs that have labels"
    )


@dataclass(frozen=True)
class DistillationConfig:
    """What a teacher's answers count for (Hinton et al., 2015); of a regression the weight alone."""

    temperature: Annotated[float, Field(gt=0, le=1000)] = _told(
        2.0, "the answers of teacher and student are divided by it before they are compared; more = softer"
    )
    weight: Annotated[float, Field(ge=0, le=1)] = _told(
        0.5, "share of the teacher's answers in the loss; the rest is that of the labels"
    )


@dataclass(frozen=True)
class FinetuningConfig:
    """What the flags of `finetune` may set. distillation: read where there is a teacher."""

    seed: Count = _told(0, "of the new head, the order of examples, and dropout")
    training: TrainingConfig = field(default_factory=TrainingConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)


class _Values(NamedTuple):
    """Defaults from this width up. seen: most examples read in a run, counting each as often as it is read."""

    width: int
    learning_rate: float
    epochs: float
    seen: float


BY_WIDTH = (
    _Values(768, 2e-5, 3, 1_500_000),
    _Values(512, 1e-4, 4, 200_000),
    _Values(256, 2e-4, 6, 200_000),
    _Values(0, 1e-3, 10, 200_000),
)
PUBLISHED_WIDTH = 768
BATCH = 32
LEAST_STEPS = 300  # a handful of examples is read more often, so that there are steps enough to learn from
MOST_EPOCHS = 3.0  # times the epochs of the width
RATES: Mapping[str, float] = {"answering": 1.5, "tagging": 2.0}
"""Times the rate of the width: 3e-5 for SQuAD as published, and where every token has a label, more."""
MANY_LABELS = 20
MANY_LABELS_RATE = 2.0  # of so many each has few examples to learn from; the narrowest have no room for a larger rate
LEARNT_FROM: Mapping[Form, tuple[str, ...]] = {
    "texts": ("simcse",),
    "pairs": ("contrastive", "simcse"),
    "labelled": ("contrastive", "simcse", "cosine"),
    "scored": ("cosine", "simcse"),
}
"""The objectives that data of similarity allow, first the one that is taken."""


class _Similarity(NamedTuple):
    """Of an objective: times the rate and the epochs of the width, the highest rate, and pairs of a batch."""

    rate: float
    epochs: float
    batch: int
    highest: float = 1.0


SIMILARITY: Mapping[str, _Similarity] = {
    "contrastive": _Similarity(1.0, 0.5, 64),
    "simcse": _Similarity(1.5, 0.2, 64, highest=3e-5),
    "cosine": _Similarity(1.0, 1.0, 32),
}
"""More pairs in a batch are more to be told apart. What dropout teaches is learnt soon, and rates above the published
3e-5 (Gao et al., 2021) unlearn at any width what pretraining taught (docs/results.md).
"""
CHOICE_BATCH = 16  # questions, each with several sequences (google-research/albert: RACE)
ANSWER_LENGTH = 384  # published for SQuAD


def defaults_for(task: Task, width: int, examples: int, objective: str = "auto", labels: int = 0) -> FinetuningConfig:
    """What is taken for a task, an encoder `width` wide and a training part of so many examples and labels.

    objective: of similarity; "auto" = what the data allow.
    """
    values = next(values for values in BY_WIDTH if width >= values.width)
    batch = CHOICE_BATCH if task.type == "choice" else BATCH
    if task.form is not None:
        rate, epochs, batch, highest = SIMILARITY[LEARNT_FROM[task.form][0] if objective == "auto" else objective]
        rate = min(highest, rate * values.learning_rate)
        values = values._replace(learning_rate=rate, epochs=max(1.0, epochs * values.epochs))
    return FinetuningConfig(
        training=TrainingConfig(
            epochs=_epochs(values, batch, examples),
            batch_size=min(batch, max(8, examples // 8)),
            learning_rate=values.learning_rate * _rate_of(task, labels, values.width),
            warmup=0.1,
            optimizer="adamw",  # with bias correction: without it small data sets fail on some seeds
            save_every=500,
            keep=1,
            validation_sequences=100_000,
        ),
        task=TaskConfig(normalize=task.type == "similarity"),
    )


def _rate_of(task: Task, labels: int, width: int) -> float:
    """Times the rate of the width."""
    many = task.type == "classification" and labels >= MANY_LABELS and width > 0
    return MANY_LABELS_RATE if many else RATES.get(task.type, 1.0)


def _epochs(values: _Values, batch: int, examples: int) -> float:
    """Epochs of the width; fewer of many examples, so that no run takes days, and more of a handful."""
    examples = max(examples, 1)
    affordable = max(1.0, float(round(values.seen / examples)))
    needed = min(MOST_EPOCHS * values.epochs, float(-(-LEAST_STEPS * batch // examples)))
    return min(max(values.epochs, needed), affordable)


def finetuning_config(
    task: Task, width: int, examples: int, flags: Mapping[str, config.Override] | None = None, labels: int = 0
) -> FinetuningConfig:
    """The defaults with flags as typed on a command line: {"training.learning_rate": "3e-5"}; a budget replaces that
    of the defaults. labels: how many there are. UsageError with one line for each mistake.
    """
    flags = flags or {}
    over = config.parse_overrides(FinetuningConfig, flags)
    asked = config.build(FinetuningConfig, over, lambda key: f"--{key}").task.objective
    base = defaults_for(task, width, examples, asked, labels)
    if any(over.get("training", {}).get(name) for name in BUDGETS):
        base = replace(base, training=replace(base.training, epochs=0.0))
    built = config.build(FinetuningConfig, config.merge(config.to_values(base), over), lambda key: f"--{key}")
    built.training.check()
    return built if task.form is None else replace(built, task=_with_objective(built.task, task.form))


def _with_objective(config: TaskConfig, form: Form) -> TaskConfig:
    """The config with its objective settled; UsageError where the data do not allow it."""
    allowed = LEARNT_FROM[form]
    objective = allowed[0] if config.objective == "auto" else config.objective
    if objective not in allowed:
        raise UsageError(
            f"--task.objective {objective}: is not for such data ({form}), from which {' or '.join(allowed)} is learnt"
        )
    if objective == "simcse" and config.dropout == 0:
        raise UsageError("--task.dropout 0: simcse tells a sentence by what dropout leaves of it; use 0.1, say")
    return replace(config, objective=objective)
