"""What `finetune suite` does: one fine-tuning after another, each in a folder of its own, and one table of all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bertsmith import console, store
from bertsmith.config import Flags
from bertsmith.errors import BertsmithError, Interrupted, Stopped
from bertsmith.finetuning import finetune, is_first_rank
from bertsmith.tasks.assignment import require_teacher
from bertsmith.tasks.search import Search

Result = dict[str, Any]


def finetune_suite(
    model: str | Path,
    data: Sequence[str | Path],
    out: str | Path,
    search: Search | None = None,
    pairs: Sequence[str] = (),
    flags: Flags | None = None,
) -> Result:
    """Fine-tune on every task whose folder is there: {tasks: [...], average, averages{...}, decisive, failed{...}}.

    Each is a fine-tuning in OUT/TASK; finished ones are not repeated, a stopped one goes on. A task that fails is told
    and left out of the table. pairs: minimal pairs, which the model is asked as it is, by phenomenon.
    """
    from bertsmith.tasks.suite import summary, table, tasks_in

    chosen, folder = search or Search(), Path(out)
    chosen.check()
    require_teacher(list(flags or {}))  # each task would want one of its own
    found = tasks_in([Path(path) for path in data])
    results: list[Result] = []
    failed: dict[str, BertsmithError] = {}
    with store.locked(folder) if is_first_rank() else nullcontext():
        for number, (task, path) in enumerate(found, 1):
            console.say(f"{number} of {len(found)}: {task.name} ({path})")
            try:
                results.append(finetune(task.name, model, path, folder / task.name, search=chosen, flags=flags))
            except (Stopped, Interrupted):
                raise
            except BertsmithError as error:
                console.warn(f"{task.name}: {error}")
                failed[task.name] = error
        if not results:
            raise next(iter(failed.values()))
        if not is_first_rank():
            return {}
        result: Result = {**summary(results), "failed": {name: str(error) for name, error in failed.items()}}
        if pairs:
            result["minimal_pairs"] = _minimal_pairs(model, pairs)
        headings, rows = table(result)
        console.table("", rows, headings)
        _write(folder, result)
    return result


def _minimal_pairs(model: str | Path, pairs: Sequence[str]) -> Result:
    from bertsmith.tasks.minimal_pairs import evaluate_minimal_pairs
    from bertsmith.tasks.pair_files import read_pairs
    from bertsmith.tasks.texts import tell
    from bertsmith.tasks.trained import load_trained
    from bertsmith.text.skipped import Skipped

    skipped = Skipped()
    asked = read_pairs(pairs, skipped)
    trained = load_trained(model)
    judged = evaluate_minimal_pairs(trained.model, trained.tokenizer, asked, trained.max_length, skipped)
    tell(skipped)
    return judged


def _write(folder: Path, result: Result) -> None:
    from bertsmith.tasks.suite import markdown

    store.write_atomic(folder / "table.md", markdown(result).encode())
    store.write_json(folder / "result.json", result)
