"""Models as ONNX files: model.onnx, and model_quantized.onnx with weights in 8 bits, beside config.json and tokenizer.

The names of files, inputs and outputs are those that optimum and transformers.js look for.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.exports.outputs import LOGITS, answer, largest_difference, outputs_of, worst
from bertsmith.exports.padded import Padded
from bertsmith.exports.probes import line_sequences
from bertsmith.exports.quality import Judge, Loss
from bertsmith.exports.quantization import quantize
from bertsmith.exports.runtime import OnnxModel, verify
from bertsmith.exports.tools import quiet
from bertsmith.models.model import Model
from bertsmith.tasks.forward import batches, device_of
from bertsmith.tasks.trained import Trained

FILE, QUANTIZED = "model.onnx", "model_quantized.onnx"
OPSET = 20  # the first with Gelu as an operator; ONNX Runtime reads it from 1.17 on


class Int8(NamedTuple):
    """What 8 bits come to.

    megabytes_before, megabytes: of the two files. largest_difference and agreement, how often the two files choose the
    same label or word (None where nothing is chosen): over lines of text. loss: over the data of the model's task.
    """

    file: str
    megabytes_before: float
    megabytes: float
    largest_difference: float
    agreement: float | None
    loss: Loss | None


def write_onnx(trained: Trained, folder: Path) -> float:
    """Write model.onnx; the largest difference to our own model over batches and lengths of all sizes.

    BertsmithError when that is too large or the exporter fails, OSError when writing fails.
    """
    _export(trained.model, folder / FILE)
    difference = verify(folder / FILE, trained.model, trained.max_length)
    names = ", ".join(output.name for output in outputs_of(trained.model))
    console.say(f"{FILE}: gives {names}; differs from our own model by {difference:.1e} at most")
    return difference


def _export(model: Model, file: Path) -> None:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass
    from torch.onnx import OnnxExporterError, export

    padded = Padded(model).eval()
    shape = (2, 3, 6) if padded.of_choices else (2, 6)
    names = ("batch", "choices", "length") if padded.of_choices else ("batch", "length")
    # The exporter takes inputs that are one tensor for one input.
    examples = tuple(torch.ones(shape, dtype=torch.int64) for _ in padded.inputs)
    sizes = {place: torch.export.Dim(name) for place, name in enumerate(names)}
    with quiet(), torch.no_grad():
        try:
            program = export(
                padded,
                examples,
                input_names=padded.inputs,
                output_names=[output.name for output in outputs_of(model)],
                dynamic_shapes=(sizes,) * len(padded.inputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except OnnxExporterError as error:
            raise BertsmithError(
                f"torch cannot write this model as ONNX ({' '.join(str(error).split())[:200]})"
            ) from error
        assert program is not None, "the exporter returns what it made"
        ClearMetadataAndDocStringPass()(program.model)  # it would tell the folders of this machine
        program.save(file)


def write_int8(trained: Trained, folder: Path, judge: Judge | None) -> Int8:
    """Write model_quantized.onnx beside model.onnx; what it loses.

    judge: the data of the model's task, None without; BertsmithError when more is lost there than it allows.
    """
    with quiet():
        quantize(folder / FILE, folder / QUANTIZED)
    quantized = OnnxModel(folder / QUANTIZED, trained.model)
    difference, agreement = _compare(trained, quantized)
    if not difference < float("inf"):
        raise BertsmithError("with weights in 8 bits the model gives values that are not finite: nothing is written")
    before, after = (_megabytes(folder, name) for name in (FILE, QUANTIZED))
    same = "" if agreement is None else f", the same choice in {agreement:.1%}"
    console.say(f"{QUANTIZED}: {after:.1f} MB of {before:.1f}; differs by {difference:.2g} at most on lines{same}")
    loss = judge.lost(trained, quantized) if judge else None
    return Int8(QUANTIZED, before, after, difference, agreement, loss)


def _compare(trained: Trained, quantized: OnnxModel) -> tuple[float, float | None]:
    """Over lines of text: the largest difference to our own model, and the share of equal choices."""
    model = trained.model
    chooses = outputs_of(model)[0].name != "last_hidden_state" and not (model.task and model.task.regression)
    same = choices = 0
    differences: list[float] = []
    for _, batch in batches(line_sequences(trained.tokenizer, trained.max_length), device_of(model)):
        expected, found = answer(model, batch), quantized.ask(batch)
        differences.append(largest_difference(found, expected))
        for output, one, other in zip(outputs_of(model), found, expected, strict=True):
            if output.name == LOGITS and one.dim() == 2:
                same += int((one.argmax(-1) == other.argmax(-1)).sum())
                choices += len(one)
            elif output.per_token and one.dim() == 1:  # where an answer starts and ends, in each text
                pairs = zip(one.split(batch.lengths.tolist()), other.split(batch.lengths.tolist()), strict=True)
                same += sum(int(first.argmax() == second.argmax()) for first, second in pairs)
                choices += len(batch.lengths)
    return worst(differences), same / choices if chooses and choices else None


def _megabytes(folder: Path, name: str) -> float:
    """Of a file and, where a graph of more than 2 GB needs one, the file of its weights."""
    return sum(file.stat().st_size for file in folder.glob(f"{name}*")) / 1e6
