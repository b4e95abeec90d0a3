"""The verbs about tasks: finetune, finetune suite, and evaluate TASK."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith.cli.asking import evaluate
from bertsmith.cli.common import AsJson, Model, Precision, Seed, Unused, given_flags, print_result, recipe_flags
from bertsmith.errors import UsageError

if TYPE_CHECKING:
    from bertsmith.tasks.search import Search
    from bertsmith.tasks.user_table import Columns

finetune = App(name="finetune")

Task = Annotated[
    str,
    Parameter(show_default=False, help="such as sst2, squad2, ner, afqmc; or table, for your own; or sentence-pairs"),
]
Of = Annotated[str, Parameter(name="--from", show_default=False, help="a run, a checkpoint or a Hugging Face folder")]

Teacher = Annotated[
    str, Parameter(show_default=False, help="a run or folder fine-tuned on the task: its answers are learnt as well")
]

Validation = Annotated[
    Path | None, Parameter(help="for sentence-pairs: pairs with scores or labels by which the model is judged")
]


@Parameter(name="*")
@dataclass(frozen=True)
class TableFlags:
    """Which columns of a table of one's own are read."""

    text: Annotated[
        str, Parameter(show_default=False, help="for a table: the column of the text [default: guessed]")
    ] = ""
    second: Annotated[str, Parameter(show_default=False, help="for a table: the column of a second text")] = ""
    label: Annotated[
        str, Parameter(show_default=False, help="for a table: the column of the label [default: guessed]")
    ] = ""
    regression: Annotated[
        bool | None, Parameter(help="for a table: labels are numbers to come close to, not classes [default: guessed]")
    ] = None

    def columns(self) -> Columns | None:
        """None without any of the flags."""
        if self == TableFlags():
            return None
        from bertsmith.tasks.user_table import Columns

        return Columns(self.text, self.second, self.label, self.regression)


@Parameter(name="*")
@dataclass(frozen=True)
class SearchFlags:
    """How often is trained, and what is set beside the result."""

    seeds: Annotated[int, Parameter(help="how many runs, with seeds counted up; gives mean and standard deviation")] = 1
    grid: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, negative=(), help="fields with values to try: learning_rate=2e-5,3e-5"),
    ] = None
    baselines: Annotated[
        Literal["auto", "all", "none"],
        Parameter(help="auto trains the same encoder from random weights only where that takes minutes"),
    ] = "auto"

    def search(self) -> Search:
        """What the pipeline takes."""
        from bertsmith.tasks.search import Search

        return Search(self.seeds, tuple(self.grid or ()), self.baselines)


NO_COLUMNS, ONE_RUN = TableFlags(), SearchFlags()


@finetune.default
def finetune_task(
    task: Task = "",
    /,
    *,
    model: Of = "",
    data: Annotated[Path | None, Parameter(help="a folder with the published files, or one file")] = None,
    out: Annotated[Path | None, Parameter(help="folder of the result")] = None,
    table: TableFlags = NO_COLUMNS,
    search: SearchFlags = ONE_RUN,
    teacher: Teacher = "",
    validation: Validation = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model on a task; the result is OUT/model, a Hugging Face folder, and OUT/report.html.

    The best of all runs by validation is kept; baselines stand beside it. The same line again goes on where it was
    stopped, and more --seeds go on from what is there.

    A table of your own is .csv, .tsv or .jsonl: columns are named by flags, or guessed and said; a part of the rows is
    held out for validation.

    With --teacher a small model learns from a large one that was fine-tuned before and has the same tokenizer: its
    answers count beside the labels, by --distillation.weight and --distillation.temperature.

    With sentence-pairs the vectors of texts are trained, for predict embed and similarity: from pairs that belong
    together (two columns; with labels 0 and 1, or entailment and contradiction), from pairs with scores, or from plain
    text, one sentence on a line.

    Fields of the training and of the task are flags: --training.epochs 3, --task.max-length 128.

    Example: bertsmith finetune table --from run --data messages.csv --text text --label category --out ft
    """
    if not task:
        finetune.help_print(["finetune"])
        return
    from bertsmith import pipeline, rendering
    from bertsmith.tasks.naming import require_name

    require_name(task, ("suite",))
    given: dict[str, Any] = {"--from": model, "--data": data, "--out": out}
    missing = next((name for name, value in given.items() if not value), "")
    if missing or data is None or out is None:
        raise UsageError(f"finetune {task}: {missing} is missing")
    columns, chosen, flags = table.columns(), search.search(), recipe_flags(seed)
    options: dict[str, Any] = {"columns": columns, "search": chosen, "flags": flags, "teacher": teacher or None}
    options |= {"validation": validation} if validation else {}
    result = pipeline.finetune(task, model, data, out, **options)
    print_result(result, as_json, rendering.finetuning)


@finetune.command(name="suite")
def finetune_suite(
    *,
    model: Model,
    data: Annotated[
        list[Path], Parameter(consume_multiple=True, negative=(), help="folders of tasks, or folders that hold such")
    ],
    out: Annotated[Path, Parameter(help="folder of the results, one folder for each task")],
    search: SearchFlags = ONE_RUN,
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
    result = pipeline.finetune_suite(model, data, out, search.search(), pairs or [], flags=flags)
    print_result(result, as_json, rendering.suite)


@evaluate.default
def evaluate_task(
    task: Task = "",
    /,
    *,
    model: Of = "",
    data: Annotated[Path | None, Parameter(help="a file, or a folder with the published files")] = None,
    table: TableFlags = NO_COLUMNS,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Score a fine-tuned model on the data of a task, or a pretrained one on text: mlm, pairs, minimal-pairs.

    In another precision the figures in fp32 stand beside, so that its price is seen before it is used.

    Example: bertsmith evaluate sst2 --from ft-sst2 --data glue/SST-2/dev.tsv --json
    """
    if not task:
        evaluate.help_print(["evaluate"])
        return
    from bertsmith import pipeline, rendering
    from bertsmith.tasks.naming import require_name

    require_name(task, ("mlm", "pairs", "minimal-pairs"))
    if not model or data is None:
        raise UsageError(f"evaluate {task}: {'--data' if model else '--from'} is missing")
    asked: dict[str, Any] = {"flags": given_flags(), "precision": precision}
    result = pipeline.evaluate_task(task, model, data, columns=table.columns(), **asked)
    print_result(result, as_json, rendering.evaluation)
