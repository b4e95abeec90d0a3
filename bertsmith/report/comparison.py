"""What `compare` finds: models of any vocabulary side by side, and what the others keep of the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith import console, interrupt
from bertsmith.errors import UsageError
from bertsmith.models.huggingface import config_from_json
from bertsmith.models.untrusted import read_config, regular_file
from bertsmith.report.quality_kept import Quality, commonest_token_share, kept, share_of_examples
from bertsmith.report.size_and_speed import sizes_and_speeds
from bertsmith.tasks.evaluation import evaluate
from bertsmith.tasks.examples import content
from bertsmith.tasks.masked_lm import evaluate_masked_lm
from bertsmith.tasks.minimal_pairs import evaluate_minimal_pairs
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tasks.standard_error import standard_error
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import Trained, load_trained, longest, model_folder
from bertsmith.text.skipped import Skipped
from bertsmith.training.measurement import DISTURBED

CHANCE = 0.5  # of a minimal pair
FIGURES = ("loss", "accuracy", "word_accuracy", "bits_per_character", "masked")

Texts = Mapping[str, Sequence[Sequence[str]]]
"""What a text is called -> its documents, each a list of clean lines."""


class TaskQuestion(NamedTuple):
    """A task, the examples of it that are asked, and what the commonest answer reaches by its first metric.

    baseline: None where that is not known.
    """

    task: Task
    examples: Sequence[Any]
    baseline: float | None


class Questions(NamedTuple):
    """What all models are asked: texts to restore, minimal pairs to judge, the seed of what is drawn, and a task."""

    texts: Texts
    pairs: Sequence[MinimalPair]
    seed: int
    task: TaskQuestion | None = None

    def lines(self) -> list[str]:
        """Real lines to time a model on: of the texts, or else of the task, or else of the pairs."""
        if self.texts:
            return [line for documents in self.texts.values() for document in documents for line in document]
        if self.task is not None:
            return [_as_line(content(example)) for example in self.task.examples]
        return [pair.good for pair in self.pairs]


def _as_line(parts: Sequence[Any]) -> str:
    return " ".join(part if isinstance(part, str) else " ".join(part) for part in parts if part)


class _Asked(NamedTuple):
    """One model's answers. found: its entry in the result. texts, pairs, task: its quality, as far as it was asked."""

    found: dict[str, Any]
    tokenizer: str
    texts: dict[str, Quality]
    pairs: Quality | None
    task: Quality | None


def compare_models(models: Sequence[str], questions: Questions) -> dict[str, Any]:
    """{models: [...], baselines, notes}, one entry per model in the order given.

    Each has name, and size and speed (see sizes_and_speeds); with texts loss, accuracy, word_accuracy,
    bits_per_character and masked (tokens asked for) of the first one and `texts` {name: those}; with pairs
    minimal_pairs, minimal_pairs_word_l2r and pairs; with a task `task` {name metric value standard_error examples
    metrics}. Loss and accuracy are those of tokens, so they compare between models of one tokenizer only; bits per
    character compare between all. All models read a text in sequences of the same length, the longest that every one of
    them takes, and so with the same masks where the tokenizer is the same. All models are held in memory, to be timed
    in turns.

    Every model but the first has parameters_share and time_share of the first one's, and `kept` {corpus, texts,
    minimal_pairs, task}: {raw, above_baseline} of the first one's quality (see quality_kept), by accuracy, or by the
    task's first metric; corpus is the first text, texts {name: all}. `baselines` has the same keys; `notes` says in
    lines what was left out and why. A model without a masked-LM head is asked no text where there is a task.
    """
    if not models:
        raise UsageError("compare wants at least one model")
    names = _names(models)
    lengths = [_longest(model_folder(Path(model))) for model in models]
    notes = []
    if questions.texts and min(lengths) < max(lengths):
        notes.append(f"texts are read {min(lengths)} tokens at a time: the most that every one of these models takes")
    loaded = [load_trained(model) for model in models]
    measured = sizes_and_speeds(loaded, questions.lines(), min(lengths))
    if measured[0]["busy_cores"] > DISTURBED:
        notes.append(f"other processes kept {measured[0]['busy_cores']:.1f} cores busy while the models were timed")
    asked: list[_Asked] = []
    for name, trained, measures in zip(names, loaded, measured, strict=True):
        interrupt.check()
        console.say(f"{len(asked) + 1} of {len(models)}: {name}")
        with_baselines = not asked and len(models) > 1
        asked.append(_ask({"name": name, **measures}, trained, questions, min(lengths), with_baselines, notes))
    for other in asked[1:]:
        other.found.update(_beside(other, asked[0], notes))
    baselines = _baselines(asked[0]) if len(models) > 1 else {}
    return {"models": [one.found for one in asked], "baselines": baselines, "notes": notes}


def _names(models: Sequence[str]) -> list[str]:
    """The models as they were typed, without a trailing slash; UsageError when one is given twice."""
    names = [str(Path(model)) for model in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{twice}: is given twice")
    return names


def _longest(folder: Path) -> int:
    path = regular_file(folder, "config.json")
    return longest(folder, config_from_json(read_config(path), path).max_positions)


def _ask(
    found: dict[str, Any],
    trained: Trained,
    questions: Questions,
    max_length: int,
    with_baselines: bool,
    notes: list[str],
) -> _Asked:
    """found: the model's entry so far, which grows by what it is asked."""
    texts: dict[str, Quality] = {}
    pairs = None
    if questions.task is not None and "masked_lm" not in trained.model.trained_heads:
        if questions.texts or questions.pairs:
            notes.append(f"{found['name']} has no masked-LM head: it is asked the task alone")
    else:
        if questions.texts:
            texts = _ask_texts(found, trained, questions, max_length, with_baselines)
        if questions.pairs:
            pairs = _ask_pairs(found, trained, questions.pairs, max_length)
    task = _ask_task(found, trained, questions.task) if questions.task is not None else None
    return _Asked(found, trained.tokenizer.fingerprint, texts, pairs, task)


def _ask_texts(
    found: dict[str, Any], trained: Trained, questions: Questions, max_length: int, with_baselines: bool
) -> dict[str, Quality]:
    qualities: dict[str, Quality] = {}
    found["texts"] = {}
    for label, documents in questions.texts.items():
        judged = evaluate_masked_lm(trained.model, trained.tokenizer, documents, questions.seed, max_length)
        found["texts"][label] = {key: judged[key] for key in FIGURES}
        baseline = commonest_token_share(trained.tokenizer, documents) if with_baselines else None
        qualities[label] = share_of_examples(judged["accuracy"], int(judged["masked"]), baseline)
    found.update(next(iter(found["texts"].values())))
    return qualities


def _ask_pairs(found: dict[str, Any], trained: Trained, pairs: Sequence[MinimalPair], max_length: int) -> Quality:
    judged = evaluate_minimal_pairs(trained.model, trained.tokenizer, pairs, max_length, Skipped())
    found["minimal_pairs"] = judged["accuracy"]
    found["minimal_pairs_word_l2r"] = judged["accuracy_word_l2r"]
    found["pairs"] = judged["pairs"]
    return share_of_examples(judged["accuracy"], judged["pairs"], CHANCE)


def _ask_task(found: dict[str, Any], trained: Trained, question: TaskQuestion) -> Quality:
    task, examples = question.task, question.examples
    judged = evaluate(trained, task, examples)
    metric = task.metrics[0]
    error = standard_error(task, examples, judged.predictions, metric)
    found["task"] = {
        "name": task.name,
        "metric": metric,
        "value": judged.metrics[metric],
        "standard_error": error,
        "examples": judged.examples,
        "metrics": judged.metrics,
    }
    return Quality(judged.metrics[metric], error, question.baseline)


# --- beside the first model ---


def _beside(asked: _Asked, first: _Asked, notes: list[str]) -> dict[str, Any]:
    """parameters_share, time_share and kept of a model."""
    name, of_first = asked.found["name"], first.found["name"]
    shares: dict[str, Any] = {}
    if asked.texts and first.texts:
        if asked.tokenizer == first.tokenizer:
            shares["texts"] = {label: kept(asked.texts[label], quality) for label, quality in first.texts.items()}
            shares["corpus"] = next(iter(shares["texts"].values()))
        else:
            notes.append(
                f"{name} has another tokenizer than {of_first}: their accuracies on a text are of different tokens, so "
                "none is given as a share of the other"
            )
    if asked.pairs is not None and first.pairs is not None:
        if asked.found["pairs"] == first.found["pairs"]:
            shares["minimal_pairs"] = kept(asked.pairs, first.pairs)
        else:
            notes.append(
                f"{name} can read {asked.found['pairs']:,} of the minimal pairs, {of_first} {first.found['pairs']:,}: "
                "their accuracies are of different pairs, so none is given as a share of the other"
            )
    if asked.task is not None and first.task is not None:
        shares["task"] = kept(asked.task, first.task)
    return {
        "parameters_share": asked.found["parameters"] / first.found["parameters"],
        "time_share": asked.found["milliseconds"] / first.found["milliseconds"],
        "kept": shares,
    }


def _baselines(first: _Asked) -> dict[str, Any]:
    """What knowing nothing reaches, by what was asked; None where that is not known."""
    found: dict[str, Any] = {}
    if first.texts:
        found["texts"] = {label: quality.baseline for label, quality in first.texts.items()}
        found["corpus"] = next(iter(found["texts"].values()))
    if first.pairs is not None:
        found["minimal_pairs"] = first.pairs.baseline
    if first.task is not None:
        found["task"] = first.task.baseline
    return found
