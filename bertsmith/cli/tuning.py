"""The verbs about tasks: finetune, finetune suite, and evaluate TASK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith.cli.asking import evaluate
from bertsmith.cli.common import AsJson, Model, Seed, Unused, given_flags, print_result, recipe_flags
from bertsmith.errors import UsageError

if TYPE_CHECKING:
    from bertsmith.tasks.user_table import Columns

finetune = App(name="finetune")

Task = Annotated[
    str, Parameter(show_default=False, help="such as sst2, squad2, ner, afqmc; or table, for a table of your own")
]
Of = Annotated[str, Parameter(name="--from", show_default=False, help="a run, a checkpoint or a Hugging Face folder")]
TextColumn = Annotated[
    str, Parameter(name="--text", show_default=False, help="for a table: the column of the text [default: guessed]")
]
SecondColumn = Annotated[
    str, Parameter(name="--second", show_default=False, help="for a table: the column of a second text")
]
LabelColumn = Annotated[
    str, Parameter(name="--label", show_default=False, help="for a table: the column of the label [default: guessed]")
]
Regression = Annotated[
    bool | None, Parameter(help="for a table: labels are numbers to come close to, not classes [default: guessed]")
]
Seeds = Annotated[int, Parameter(help="how many runs, with seeds counted up; gives mean and standard deviation")]
Grid = Annotated[
    list[str] | None,
    Parameter(consume_multiple=True, negative=(), help="fields with values to try: learning_rate=2e-5,3e-5"),
]
Baselines = Annotated[
    Literal["auto", "all", "none"],
    Parameter(help="auto trains the same encoder from random weights only where that takes minutes"),
]


@finetune.default
def finetune_task(
    task: Task = "",
    /,
    *,
    model: Of = "",
    data: Annotated[Path | None, Parameter(help="a folder with the published files, or one file")] = None,
    out: Annotated[Path | None, Parameter(help="folder of the result")] = None,
    text: TextColumn = "",
    second: SecondColumn = "",
    label: LabelColumn = "",
    regression: Regression = None,
    seeds: Seeds = 1,
    grid: Grid = None,
    baselines: Baselines = "auto",
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model on a task; the result is OUT/model, a Hugging Face folder, and OUT/report.html.

    The best of all runs by validation is kept; baselines stand beside it. The same line again goes on where it was
    stopped, and more --seeds go on from what is there.

    A table of your own is .csv, .tsv or .jsonl: columns are named by flags, or guessed and said; a part of the rows is
    held out for validation.

    Fields of the training and of the task are flags: --training.epochs 3, --task.max-length 128.

    Example: bertsmith finetune table --from run --data messages.csv --text text --label category --out ft
    """
    if not task:
        finetune.help_print(["finetune"])
        return
    from bertsmith import pipeline, rendering
    from bertsmith.tasks.user_table import require_name

    require_name(task, ("suite",))
    given: dict[str, Any] = {"--from": model, "--data": data, "--out": out}
    missing = next((name for name, value in given.items() if not value), "")
    if missing or data is None or out is None:
        raise UsageError(f"finetune {task}: {missing} is missing")
    columns, search = _columns(text, second, label, regression), _search(seeds, grid, baselines)
    flags = recipe_flags(seed)
    result = pipeline.finetune(task, model, data, out, columns=columns, search=search, flags=flags)
    print_result(result, as_json, rendering.finetuning)


@finetune.command(name="suite")
def finetune_suite(
    *,
    model: Model,
    data: Annotated[
        list[Path], Parameter(consume_multiple=True, negative=(), help="folders of tasks, or folders that hold such")
    ],
    out: Annotated[Path, Parameter(help="folder of the results, one folder for each task")],
    seeds: Seeds = 1,
    grid: Grid = None,
    baselines: Baselines = "auto",
    pairs: Annotated[
        list[str] | None, Parameter(consume_multiple=True, negative=(), help="minimal pairs to ask the model as it is")
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune on every task whose folder is there, and give one table with the average.

    The same line again goes on where it was stopped; finished tasks are not repeated.

    Example: bertsmith finetune suite --from run --data glue --out ft-glue --seeds 3
    """
    from bertsmith import pipeline, rendering

    flags = recipe_flags(seed)
    result = pipeline.finetune_suite(model, data, out, _search(seeds, grid, baselines), pairs or [], flags=flags)
    print_result(result, as_json, rendering.suite)


@evaluate.default
def evaluate_task(
    task: Task = "",
    /,
    *,
    model: Of = "",
    data: Annotated[Path | None, Parameter(help="a file, or a folder with the published files")] = None,
    text: TextColumn = "",
    second: SecondColumn = "",
    label: LabelColumn = "",
    regression: Regression = None,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Score a fine-tuned model on the data of a task, or a pretrained one on text: mlm, pairs, minimal-pairs.

    Example: bertsmith evaluate sst2 --from ft-sst2 --data glue/SST-2/dev.tsv --json
    """
    if not task:
        evaluate.help_print(["evaluate"])
        return
    from bertsmith import pipeline, rendering
    from bertsmith.tasks.user_table import require_name

    require_name(task, ("mlm", "pairs", "minimal-pairs"))
    if not model or data is None:
        raise UsageError(f"evaluate {task}: {'--data' if model else '--from'} is missing")
    columns = _columns(text, second, label, regression)
    result = pipeline.evaluate_task(task, model, data, columns=columns, flags=given_flags())
    print_result(result, as_json, rendering.evaluation)


def _columns(text: str, second: str, label: str, regression: bool | None) -> Columns | None:
    if not (text or second or label) and regression is None:
        return None
    from bertsmith.tasks.user_table import Columns

    return Columns(text, second, label, regression)


def _search(seeds: int, grid: list[str] | None, baselines: str) -> Any:
    from bertsmith.tasks.search import Search

    return Search(seeds, tuple(grid or ()), baselines)
