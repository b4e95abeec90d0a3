"""The verb that hands a model to other tools: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertsmith.cli.common import AsJson, Unused, no_flags, print_result


def export(
    model: Annotated[Path, Parameter(help="a run, a checkpoint or a Hugging Face folder")],
    /,
    *,
    to: Annotated[Literal["huggingface", "onnx", "sentence-transformers"], Parameter(help="what it is written for")],
    out: Annotated[Path, Parameter(help="folder to write")],
    int8: Annotated[
        bool, Parameter(negative=(), help="onnx: model_quantized.onnx too, with weights in 8 bits and what they lose")
    ] = False,
    data: Annotated[
        Path | None, Parameter(help="data of the model's task, a file or a folder, to judge --int8 by")
    ] = None,
    max_loss: Annotated[float, Parameter(help="points of the task's first metric that --int8 may lose there")] = 0.5,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Write a model for other tools. It is loaded again and compared before it is there at all.

    huggingface has every trained head. onnx gives model.onnx for any batch and length, with the tokenizer beside it
    (pip install 'bertsmith[onnx]'). sentence-transformers has the encoder, pooled as it was fine-tuned.

    The same line again finds what is there; another model or format wants another folder.

    Example: bertsmith export run --to onnx --int8 --out run-onnx
    """
    from bertsmith import pipeline, rendering

    no_flags("export")
    result = pipeline.export(model, to, out, int8, data, max_loss)
    print_result(result, as_json, rendering.export)
