"""What `predict` and `evaluate TASK` answer: a trained model on texts, on files of texts, and on the data of a task.

Every function returns what `--json` prints. Heavy imports stay inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bertsmith import config, console, store
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.search_folder import result_of

if TYPE_CHECKING:
    from bertsmith.serving.predictor import Predictor
    from bertsmith.serving.task_predictor import TaskPredictor
    from bertsmith.tasks.trained import Trained
    from bertsmith.tasks.user_table import Columns

Result = dict[str, Any]
Verb = Literal["classify", "tag", "answer", "similarity"]
PAIRED = ("answer", "similarity")
"""Verbs that read two texts at a time."""


@dataclass(frozen=True)
class AskingConfig:
    """What the flags of `evaluate TASK` and of `predict` for tasks may set."""

    task: TaskConfig = TaskConfig()


# --- one text or several ---


def fill_mask(model: str | Path, texts: Sequence[str], top_k: int = 5) -> list[Any]:
    """For each text one list per [MASK] of its `top_k` likeliest {token token_id score text}."""
    return _predictor(model).fill_mask(list(texts), top_k)


def next_sentence(model: str | Path, pairs: Sequence[tuple[str, str]]) -> list[Any]:
    """For each pair {is_next: the probability that the second text follows the first}."""
    return _predictor(model).next_sentence(list(pairs))


def classify(model: str | Path, texts: Sequence[str | tuple[str, str]], flags: Flags | None = None) -> list[Any]:
    """For each text, or pair of texts, {label score}: the likeliest label and its probability."""
    return list(_task_predictor(model, flags).classify(texts))


def tag(model: str | Path, texts: Sequence[str], flags: Flags | None = None) -> list[Any]:
    """For each text its entities as [{word label start end score}], by characters of the text."""
    return list(_task_predictor(model, flags).tag(texts))


def answer(model: str | Path, asked: Sequence[tuple[str, str]], flags: Flags | None = None) -> list[Any]:
    """For each (question, context) {answer score start end}; the answer is "" where the context holds none."""
    return list(_task_predictor(model, flags).answer(asked))


def similarity(model: str | Path, pairs: Sequence[tuple[str, str]], flags: Flags | None = None) -> list[Any]:
    """For each pair {score}: what a regression head says, else the cosine of the mean vectors of the two texts."""
    return list(_task_predictor(model, flags).similarity(pairs))


def _predictor(model: str | Path) -> Predictor:
    from bertsmith.serving.predictor import Predictor

    return Predictor.load(model)


def _task_predictor(model: str | Path, flags: Flags | None) -> TaskPredictor:
    from bertsmith.serving.task_predictor import TaskPredictor
    from bertsmith.tasks.trained import load_trained

    trained = load_trained(model)
    return TaskPredictor(trained, _settings(trained, flags))


def _settings(trained: Trained, flags: Flags | None) -> TaskConfig | None:
    """How examples are read: as the model was fine-tuned, with the flags over it; None = as it was fine-tuned."""
    if not flags:
        return None
    over = config.parse_overrides(AskingConfig, flags)
    base = AskingConfig(trained.settings.config if trained.settings else TaskConfig())
    return config.build(AskingConfig, config.merge(config.to_values(base), over), lambda key: f"--{key}").task


# --- files of texts ---


def predict_file(
    verb: Verb,
    model: str | Path,
    source: Path,
    columns: Columns | None = None,
    output: Path | None = None,
    flags: Flags | None = None,
) -> list[Any]:
    """One result for each row of a table (.csv, .tsv, .jsonl) or line of a text file, as the verb gives them.

    A row that holds no text gives {"error": why}, so that results and rows stay side by side. With `output` the results
    are written there, one JSON a line, and [] is returned. Two texts are two columns, or stand with a tab between.
    """
    from bertsmith.serving.task_predictor import in_chunks

    asked = _texts_in(source, columns, verb)
    predictor = _task_predictor(model, flags)
    answers: dict[Verb, Callable[[Sequence[Any]], list[Any]]] = {
        "classify": predictor.classify,
        "tag": predictor.tag,
        "answer": predictor.answer,
        "similarity": predictor.similarity,
    }
    usable = [text for text in asked if not isinstance(text, Unusable)]
    results = in_chunks(usable, answers[verb], f"predict {verb}")
    merged = ({"error": str(text)} if isinstance(text, Unusable) else next(results) for text in asked)
    if output is None:
        return list(merged)
    store.write_json_lines(output, merged)
    unusable = len(asked) - len(usable)
    console.say(f"{len(asked):,} results in {output}" + (f", {unusable:,} of them errors" if unusable else ""))
    return []


class Unusable(str):
    """Why a row cannot be asked about."""


def _texts_in(source: Path, columns: Columns | None, verb: Verb) -> list[Any]:
    """The text or the two texts of every row, or why there is none. UsageError when the file holds none at all."""
    from bertsmith.tasks.table_files import is_table
    from bertsmith.tasks.texts import text_lines
    from bertsmith.tasks.user_table import Columns, texts_of

    if is_table(source):
        rows = texts_of(source, columns or Columns())
        asked: list[Any] = [
            Unusable(row) if isinstance(row, str) else (row.first if row.second is None else (row.first, row.second))
            for row in rows
        ]
    else:
        if columns is not None and columns != Columns():
            raise UsageError(f"{source}: --text and --second are for tables (.csv, .tsv, .jsonl)")
        asked = [tuple(line.split("\t")) if "\t" in line else line for line in text_lines(source)]
    for number, text in enumerate(asked, 1):
        _check_parts(f"{source}: row {number}", text, verb)
    if not any(not isinstance(text, Unusable) for text in asked):
        raise UsageError(f"{source}: holds no text")
    return asked


def _check_parts(place: str, text: Any, verb: Verb) -> None:
    if isinstance(text, Unusable):
        return
    parts = 1 if isinstance(text, str) else len(text)
    if verb in PAIRED and parts != 2:
        what = "a question and its context" if verb == "answer" else "two texts"
        raise UsageError(f"{place}: {verb} wants {what}, as columns (--text, --second) or with a tab between")
    if verb == "tag" and parts != 1 or parts > 2:
        raise UsageError(f"{place}: {verb} wants one text, not {parts}")


# --- data of a task ---


def evaluate_task(
    task: str, model: str | Path, data: str | Path, columns: Columns | None = None, flags: Flags | None = None
) -> Result:
    """{task examples skipped metrics standard_error} of a fine-tuned model on a file, or the validation of a folder.

    `skipped` counts by reason what could not be used. Where a folder holds several validation parts, `parts` has the
    metrics of each and `metrics` are those of the first.
    """
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.parts import read_evaluation_counted
    from bertsmith.tasks.standard_error import standard_error
    from bertsmith.tasks.trained import load_trained
    from bertsmith.tasks.user_table import NAME, task_for

    trained = load_trained(model)
    settings = _settings(trained, flags)
    if task == NAME:
        columns = _columns(Path(model), trained, columns)
    found, _ = task_for(task, Path(data), columns)
    parts, skipped = read_evaluation_counted(found, Path(data))
    judged = {name: evaluate(trained, found, examples, settings) for name, examples in parts.items()}
    name, main = next(iter(judged.items()))
    result: Result = {
        "task": found.name,
        "examples": main.examples,
        "skipped": skipped,
        "metrics": main.metrics,
        "standard_error": standard_error(found, parts[name], main.predictions, found.metrics[0]),
        "truncated": main.truncated,
    }
    if len(judged) > 1:
        result["parts"] = {name: evaluation.metrics for name, evaluation in judged.items()}
    _tell_trained_on(Path(model), found.name, parts[name])
    return result


def _columns(model: Path, trained: Trained, asked: Columns | None) -> Columns:
    """The columns as asked for, else those that the model was trained on; numbers or classes as its head gives."""
    from bertsmith.tasks.user_table import Columns

    columns = asked or Columns()
    earlier = result_of(model).get("columns") or {}
    if not (columns.text or columns.label) and set(earlier) == set(asdict(columns)):
        columns = Columns(**earlier)
    head = trained.model.task
    return replace(columns, regression=head.regression) if head is not None else columns


def _tell_trained_on(model: Path, task: str, examples: Sequence[Any]) -> None:
    """Say so when the file is as large as what was trained on and held out together: its figures flatter the model."""
    earlier = result_of(model)
    counts = earlier.get("examples")
    if earlier.get("task") == task and isinstance(counts, dict) and len(examples) == sum(counts.values()):
        metric, value = earlier["metric"], earlier["validation"][earlier["metric"]]
        console.warn(
            f"the model seems to have been trained on {counts['train']:,} of these {len(examples):,} examples; on those"
            f" that were held out {metric} is {value:.4f}"
        )
