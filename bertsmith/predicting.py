"""What `predict` and `evaluate TASK` answer: a trained model on texts, on files of texts, and on the data of a task.

Every function returns what `--json` prints. Heavy imports stay inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import config, console
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.search_folder import result_of

if TYPE_CHECKING:
    from bertsmith.models.pooling import Pooling
    from bertsmith.prediction_files.job import Request
    from bertsmith.serving.precision import Auto, Precision
    from bertsmith.serving.predictor import Predictor
    from bertsmith.tasks.trained import TaskSettings, Trained
    from bertsmith.tasks.user_table import Columns

Result = dict[str, Any]

NUMBERS = ("regression", "similarity")
"""Kinds of task whose predictions are numbers, of which hardly two are ever the same."""


@dataclass(frozen=True)
class AskingConfig:
    """What the flags of `evaluate TASK` and of `predict` for tasks may set."""

    task: TaskConfig = TaskConfig()


# --- one text or several ---


def fill_mask(
    model: str | Path, texts: Sequence[str], top_k: int = 5, precision: Precision | Auto = "fp32"
) -> list[Any]:
    """For each text one list per [MASK] of its `top_k` likeliest {token token_id score text}."""
    return _predictor(model, precision).fill_mask(list(texts), top_k)


def next_sentence(
    model: str | Path, pairs: Sequence[tuple[str, str]], precision: Precision | Auto = "fp32"
) -> list[Any]:
    """For each pair {is_next: the probability that the second text follows the first}."""
    return _predictor(model, precision).next_sentence(list(pairs))


def classify(
    model: str | Path,
    texts: Sequence[str | tuple[str, str]],
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> list[Any]:
    """For each text, or pair of texts, {label score}: the likeliest label and its probability."""
    return list(_predictor(model, precision, flags).classify(list(texts)))


def tag(
    model: str | Path, texts: Sequence[str], flags: Flags | None = None, precision: Precision | Auto = "fp32"
) -> list[Any]:
    """For each text its entities as [{word label start end score}], by characters of the text."""
    return list(_predictor(model, precision, flags).tag(list(texts)))


def answer(
    model: str | Path,
    asked: Sequence[tuple[str, str]],
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> list[Any]:
    """For each (question, context) {answer score start end}; the answer is "" where the context holds none."""
    return list(_predictor(model, precision, flags).answer(list(asked)))


def similarity(
    model: str | Path,
    pairs: Sequence[tuple[str, str]],
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> list[Any]:
    """For each pair {score}: what a regression head says, else the cosine of the vectors of the two texts."""
    return list(_predictor(model, precision, flags).similarity(list(pairs)))


def embed(
    model: str | Path,
    texts: Sequence[str],
    pooling: Pooling | None = None,
    normalize: bool | None = None,
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> list[Any]:
    """For each text {embedding: its vector}. pooling: "mean" or "cls"; None, here and of normalize: as trained."""
    from bertsmith.prediction_files.formats import plain

    vectors = _predictor(model, precision, flags).embed(list(texts), pooling=pooling, normalize=normalize)
    return [plain({"embedding": vector}) for vector in vectors]


def _predictor(model: str | Path, precision: Precision | Auto, flags: Flags | None = None) -> Predictor:
    from bertsmith.serving.predictor import Predictor

    return Predictor.load(model, precision=precision, settings=_settings_of(model, flags))


def _settings_of(model: str | Path, flags: Flags | None) -> TaskConfig | None:
    """How examples are read: as the model was fine-tuned, with the flags over it; None = as it was fine-tuned."""
    if not flags:
        return None
    from bertsmith.tasks.trained import model_folder, read_settings

    return _settings(read_settings(model_folder(Path(model))), flags)


def _settings(trained: TaskSettings | None, flags: Flags | None) -> TaskConfig | None:
    if not flags:
        return None
    over = config.parse_overrides(AskingConfig, flags)
    base = AskingConfig(trained.config if trained else TaskConfig())
    return config.build(AskingConfig, config.merge(config.to_values(base), over), lambda key: f"--{key}").task


# --- files of texts ---


def predict_file(
    verb: str,
    model: str | Path,
    source: str | Path,
    output: str | Path,
    columns: Columns | None = None,
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
    workers: int = 0,
    **options: Any,
) -> Result:
    """A file of texts to a file of results; returns {rows errors reasons cut precision output}.

    source: a table (.csv, .tsv, .jsonl, .parquet), or a text file with one text a line, two with a tab between. output:
    .jsonl, .csv or .parquet, with one row for each row of `source`, in order; a row that cannot be used gives an
    error. Both may be larger than memory. The same call again goes on where an earlier one was stopped. workers:
    processes, 0 = one per core. options: `top_k` of fill-mask, `pooling` and `normalize` of embed.
    """
    from bertsmith.prediction_files.job import write

    return write(_request(verb, model, source, columns, flags, precision, workers, options), Path(output))


def predict_rows(
    verb: str,
    model: str | Path,
    source: str | Path,
    columns: Columns | None = None,
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
    workers: int = 0,
    **options: Any,
) -> Iterator[Any]:
    """The result of every row of a file as it comes, {"error": why} for one that cannot be used; as `predict_file`."""
    from bertsmith.prediction_files.job import stream

    return stream(_request(verb, model, source, columns, flags, precision, workers, options))


def _request(
    verb: str,
    model: str | Path,
    source: str | Path,
    columns: Columns | None,
    flags: Flags | None,
    precision: Precision | Auto,
    workers: int,
    options: dict[str, Any],
) -> Request:
    from bertsmith.prediction_files.job import Request
    from bertsmith.prediction_files.verbs import VERBS

    if verb not in VERBS:
        raise UsageError(f"{verb}: there is no such verb{config.did_you_mean(verb, list(VERBS))}")
    settings = _settings_of(model, flags)
    return Request(verb, Path(model), Path(source), columns, precision, settings, options, workers)


# --- data of a task ---


def evaluate_task(
    task: str,
    model: str | Path,
    data: str | Path,
    columns: Columns | None = None,
    flags: Flags | None = None,
    precision: Precision | Auto = "fp32",
) -> Result:
    """{task examples skipped metrics standard_error} of a fine-tuned model on a file, or the validation of a folder.

    `skipped` counts by reason what could not be used. Where a folder holds several validation parts, `parts` has the
    metrics of each and `metrics` are those of the first. In another precision than fp32 there are also `precision`,
    `fp32`, the metrics in it, and `same_predictions`, the share of them.
    """
    from bertsmith.serving.precision_loss import judged_in, same_predictions
    from bertsmith.tasks.evaluation import Evaluation, evaluate
    from bertsmith.tasks.naming import task_for
    from bertsmith.tasks.parts import read_evaluation_counted
    from bertsmith.tasks.standard_error import standard_error
    from bertsmith.tasks.trained import load_trained
    from bertsmith.tasks.user_table import NAME

    trained = load_trained(model)
    settings = _settings(trained.settings, flags)
    if task == NAME:
        columns = _columns(Path(model), trained, columns)
    found, _ = task_for(task, Path(data), columns)
    parts, skipped = read_evaluation_counted(found, Path(data))

    def judge(one: Trained) -> dict[str, Evaluation]:
        return {name: evaluate(one, found, examples, settings) for name, examples in parts.items()}

    taken, judged, exact = judged_in(trained, precision, judge)
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
    if exact is not None:
        result |= {"precision": taken, "fp32": exact[name].metrics}
        if found.type not in NUMBERS:
            result["same_predictions"] = same_predictions(main, exact[name])
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
