"""What `export` answers: a trained model as a folder for other tools, read back and compared before it is there.

Heavy imports stay inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from bertsmith import console, store
from bertsmith.errors import UsageError
from bertsmith.store.manifest import kind_of
from bertsmith.tasks.search_folder import result_of

if TYPE_CHECKING:
    from bertsmith.exports.quality import Judge
    from bertsmith.tasks.trained import Trained
    from bertsmith.tasks.user_table import Columns

Result = dict[str, Any]
Form = Literal["huggingface", "onnx", "sentence-transformers"]
KIND = "export"
MAX_LOSS = 0.5


def export(
    model: str | Path,
    to: Form,
    out: str | Path,
    int8: bool = False,
    data: str | Path | None = None,
    max_loss: float = MAX_LOSS,
) -> Result:
    """{format folder files megabytes largest_difference}: a model written for other tools, then read back and compared.

    `int8` (onnx): a second file with weights in 8 bits, told of as {file megabytes_before megabytes largest_difference
    agreement loss}. `data`: a file, or the folder with the validation part, of the model's task, on which 8 bits may
    lose `max_loss` points of its first metric. BertsmithError, with nothing left at `out`, when the outputs differ.
    """
    _check(to, int8, data, max_loss)
    out = Path(out)
    store.refuse_locked(out)
    from bertsmith.tasks.trained import load_trained, model_folder

    folder = model_folder(Path(model))
    asked: Result = {"to": to, "model": _fingerprint(folder)}
    asked |= {"int8": int8, "data": str(data or ""), "max_loss": max_loss}
    if (earlier := _earlier(out, asked)) is not None:
        console.say(f"{out}: is there already, and whole")
        return {**earlier, "folder": str(out)}
    if to == "onnx":
        from bertsmith.exports.tools import require_onnx

        require_onnx()
    trained = load_trained(folder)
    trained.model.cpu()
    judge = _judge(trained, Path(model), Path(data), max_loss) if data else None
    store.require_space(out, (1 + int8) * (folder / "model.safetensors").stat().st_size)
    details: Result = {"asked": asked}
    with store.writing(out, KIND, details) as partial:
        result = _write(trained, partial, to, int8, judge)
        details["result"] = result
    return {**result, "folder": str(out)}


def _check(to: str, int8: bool, data: str | Path | None, max_loss: float) -> None:
    if to not in get_args(Form):
        raise UsageError(f"--to {to}: is not one of {', '.join(get_args(Form))}")
    if int8 and to != "onnx":
        raise UsageError(f"--int8: is for --to onnx, not {to}")
    if data is not None and not int8:
        raise UsageError("--data: is what --int8 is judged by; give both")
    if not 0 <= max_loss <= 100:
        raise UsageError(f"--max-loss {max_loss:g}: must be points from 0 to 100")


def _fingerprint(folder: Path) -> str:
    """Equal for the same model: what is exported of it stands in these files."""
    from bertsmith.tasks.trained import FILES

    return store.fingerprint({name: store.hash_file(folder / name) for name in FILES if (folder / name).is_file()})


def _earlier(out: Path, asked: Result) -> Result | None:
    """What the same line wrote before; UsageError where another one did, BertsmithError where that is damaged."""
    if kind_of(out) != KIND:
        return None
    details = store.verify(out, KIND)
    for key, value in asked.items():
        before = details["asked"].get(key)
        if before != value:
            what = "another model" if key == "model" else f"--{key.replace('_', '-')} {before}"
            raise UsageError(f"{out}: was exported from {what}; choose another folder, or remove it")
    return details["result"]


def _judge(trained: Trained, model: Path, data: Path, max_loss: float) -> Judge:
    """The labelled examples that 8 bits are judged by, read before anything is written."""
    from bertsmith.exports.quality import Judge
    from bertsmith.tasks.evaluation import task_of
    from bertsmith.tasks.naming import ANY_DATA, task_for
    from bertsmith.tasks.parts import read_evaluation

    if trained.settings is None:
        raise UsageError(f"{trained.folder}: was not fine-tuned here, so that --data cannot be read as its task's")
    name = task_of(trained).name
    task, _ = task_for(name, data, _columns(model) if name in ANY_DATA else None)
    return Judge(task, next(iter(read_evaluation(task, data).values())), max_loss)


def _columns(model: Path) -> Columns | None:
    """The columns of the table that the model was fine-tuned on; None where that is not told."""
    from bertsmith.tasks.user_table import Columns

    columns = result_of(model).get("columns")
    return Columns(**columns) if isinstance(columns, dict) and set(columns) == set(asdict(Columns())) else None


def _write(trained: Trained, partial: Path, to: Form, int8: bool, judge: Judge | None) -> Result:
    """Every file of the export; what is told of it."""
    from bertsmith.exports.card import write_card
    from bertsmith.exports.huggingface import write_beside, write_huggingface
    from bertsmith.exports.onnx import write_int8, write_onnx
    from bertsmith.exports.sentence_transformers import write_sentence_transformers

    result: Result = {"format": to, "largest_difference": 0.0}
    if to == "onnx":
        write_beside(trained, partial)
        result["largest_difference"] = write_onnx(trained, partial)
        if int8:
            found = write_int8(trained, partial, judge)
            result["int8"] = {**found._asdict(), "loss": found.loss._asdict() if found.loss else None}
    else:
        write = write_huggingface if to == "huggingface" else write_sentence_transformers
        result["largest_difference"] = write(trained, partial)
    write_card(trained, partial, to, result)
    files = sorted(file for file in partial.rglob("*") if file.is_file())
    result["files"] = _names(files, partial)
    result["megabytes"] = sum(file.stat().st_size for file in files) / 1e6
    return result


def _names(files: Sequence[Path], folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in files]
