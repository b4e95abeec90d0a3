"""What `compare` answers: models side by side, and what each keeps of the first one. Heavy imports stay inside.

The texts, the minimal pairs and the task are read once and asked of every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import console
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.tasks.config import evaluation_config
from bertsmith.tasks.search_folder import result_of

if TYPE_CHECKING:
    from bertsmith.report.comparison import TaskQuestion
    from bertsmith.tasks.task import Task
    from bertsmith.tasks.user_table import Columns

Result = dict[str, Any]


def compare(
    models: Sequence[str],
    data: Sequence[str] = (),
    pairs: Sequence[str] = (),
    out: Path | None = None,
    seed: int = 0,
    flags: Flags | None = None,
    task: str = "",
    task_data: str | Path | None = None,
) -> Result:
    """{models baselines notes}: size, speed and quality of models side by side, and what is kept of the first one's.

    `data`: texts to restore words of, each apart; times are those of their lines. `pairs`: minimal pairs. `task`: one
    that all models were fine-tuned on, with `task_data`, a file or the folder with its validation part. `out`: a folder
    for compare.html.
    """
    from bertsmith.report.comparison import Questions, compare_models
    from bertsmith.report.comparison_table import write_comparison
    from bertsmith.tasks.pair_files import read_pairs
    from bertsmith.tasks.texts import documents, tell
    from bertsmith.text.skipped import Skipped

    if bool(task) != (task_data is not None):
        raise UsageError(
            f"compare: --task and --task-data go together; {'--task-data' if task else '--task'} is missing"
        )
    lines, skipped = replace(evaluation_config(flags).text, sentences="line"), Skipped()
    texts = {path: list(documents([path], lines)) for path in data}
    asked_pairs = read_pairs(pairs, skipped) if pairs else []
    asked_task = _task_question(task, Path(task_data), models) if task_data is not None else None
    tell(skipped)
    result = compare_models(models, Questions(texts, asked_pairs, seed, asked_task))
    if out is not None:
        console.say(f"plots: {write_comparison(result, out)}")
    return result


def _task_question(name: str, data: Path, models: Sequence[str]) -> TaskQuestion:
    """The validation examples of a task, or all of a file; where a folder has several such parts, the first one."""
    from bertsmith.report.comparison import TaskQuestion
    from bertsmith.tasks.naming import task_for
    from bertsmith.tasks.parts import read_evaluation
    from bertsmith.tasks.user_table import NAME

    columns = _columns_of(Path(models[0])) if name == NAME and models else None
    task, _ = task_for(name, data, columns)
    examples = next(iter(read_evaluation(task, data).values()))
    return TaskQuestion(task, examples, _commonest_answer(task, data, examples))


def _commonest_answer(task: Task, data: Path, examples: Sequence[Any]) -> float | None:
    """The first metric of the commonest answer of the training part, or of the examples themselves in its absence.

    None for tagging without a training part: the commonest tags of the very words that are asked would be no baseline.
    """
    from bertsmith.tasks.baselines import majority
    from bertsmith.tasks.examples import is_labelled
    from bertsmith.tasks.metrics import score
    from bertsmith.tasks.parts import part_files, read_part

    known = examples
    if data.is_dir() and "train" in part_files(task, data):
        known = [example for example in read_part(task, data, "train") if is_labelled(example)]
    elif task.type == "tagging":
        return None
    return score(task, examples, majority(task, known, examples))[task.metrics[0]]


def _columns_of(model: Path) -> Columns | None:
    """The columns of the table that a model was fine-tuned on; None where that is not told."""
    from bertsmith.tasks.user_table import Columns

    columns = result_of(model).get("columns")
    if isinstance(columns, dict) and set(columns) == set(asdict(Columns())):
        return Columns(**columns)
    return None
