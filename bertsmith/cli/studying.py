"""The verb about effects: study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from bertsmith.cli.common import AsJson, Unused, given_flags, no_flags, print_result
from bertsmith.errors import UsageError

study = App(
    name="study",
    help="Measure on your own text what a choice is worth: arms under an equal budget, seeds, verdicts, one report.",
    help_epilogue="Start with: bertsmith study list",
)

Name = Annotated[str, Parameter(help="a shipped study (see bertsmith study list) or a TOML file")]
Texts = Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())]


@study.command(name="list")
def list_(*, seed: Unused = 0, as_json: AsJson = False) -> None:
    """The shipped studies, a question each.

    Example: bertsmith study list
    """
    from bertsmith import pipeline, rendering

    no_flags("study list")
    print_result(pipeline.study_list(), as_json, rendering.studies)


@study.command
def show(name: Name, /, *, seed: Unused = 0, as_json: AsJson = False) -> None:
    """The arms of a study, what each sets, and its claims with what was published.

    Example: bertsmith study show sharing
    """
    from bertsmith import pipeline, rendering

    print_result(pipeline.study_show(name, given_flags()), as_json, rendering.study_design)


@study.command
def run(
    name: Name,
    /,
    *,
    corpus: Annotated[
        list[str], Parameter(help="a prepared corpus; further ones for arms that want their own: NAME=FOLDER")
    ],
    out: Annotated[Path | None, Parameter(help="folder of the study, its runs and its report")] = None,
    valid: Annotated[
        Texts, Parameter(help="texts that all models are asked [default: the corpus' validation part]")
    ] = None,
    pairs: Annotated[Texts, Parameter(help="files or folders of minimal pairs")] = None,
    limit: Annotated[int, Parameter(help="most minimal pairs of each file, drawn by the seed; 0 = all")] = 0,
    task: Annotated[Texts, Parameter(help="fine-tune every model on these too: NAME=DATA")] = None,
    seeds: Annotated[int, Parameter(help="runs of each arm; 0 = as the study says")] = 0,
    dry_run: Annotated[bool, Parameter(negative=(), help="only say what it would cost, less what is there")] = False,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Train every arm with every seed under an equal budget, ask all models the same, and say what that shows.

    Type the line again to go on after a kill; several processes, or machines on one disk, may work on one folder at a
    time. The budget (--budget.tokens, .steps, .operations, .minutes) and fields of the recipe for all arms are flags.

    Example: bertsmith study run family --corpus en --out study-family --budget.tokens 300000 --seeds 2
    """
    from bertsmith import pipeline, rendering

    if dry_run:
        print_result(pipeline.study_plan(name, corpus, seeds, given_flags(), out), as_json, rendering.study_costs)
        return
    if out is None:
        raise UsageError("study run: --out is missing")
    tasks = _tasks(task or [])
    result = pipeline.study_run(name, corpus, out, valid or [], pairs or [], tasks, seeds, given_flags(), limit)
    print_result(result, as_json, rendering.study)


def _tasks(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, data = one.partition("=")
        if not equals or not name or not data:
            raise UsageError(f"--task {one}: wants NAME=DATA, such as sst2=glue/SST-2")
        found[name] = data
    return found


@study.command
def report(
    folder: Annotated[Path, Parameter(help="a study that was begun, finished or not")],
    /,
    *,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Write the report anew from what is finished, and print it.

    Example: bertsmith study report study-family --json
    """
    from bertsmith import pipeline, rendering

    no_flags("study report")
    print_result(pipeline.study_report(folder), as_json, rendering.study)
