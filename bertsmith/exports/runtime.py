"""An ONNX file asked through ONNX Runtime, in the place of our own model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.errors import BertsmithError
from bertsmith.exports.outputs import answer, largest_difference, outputs_of, worst
from bertsmith.exports.padded import Padded
from bertsmith.exports.probes import shapes
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model

TOLERANCE = 1e-4
CHOICES = 3


class OnnxModel(nn.Module):
    """A file that ONNX Runtime runs, asked as our models are: `task_logits(model(batch), batch)`.

    model: the one that was exported; the file has its inputs and outputs. BertsmithError when it cannot be loaded.
    """

    def __init__(self, file: Path, model: Model) -> None:
        super().__init__()
        import onnxruntime

        self.config, self.task = model.config, model.task
        self.outputs, self.of_choices = outputs_of(model), Padded(model).of_choices
        self.anchor = nn.Parameter(torch.zeros(0), requires_grad=False)  # tells where inputs belong: on the CPU
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise BertsmithError(f"{file}: ONNX Runtime cannot load it ({_one_line(error)})") from error

    def ask(self, batch: Batch, length: int = 0, choices: int = 1) -> tuple[Tensor, ...]:
        """The outputs for a flat batch as `outputs.compute` gives them.

        length: of the padded batch; 0 = its longest sequence. choices: sequences of each question.
        """
        length = length or int(batch.lengths.max())
        mask = torch.arange(length) < batch.lengths[:, None]
        grids = {"input_ids": batch.token_ids, "token_type_ids": batch.type_ids}
        feeds: dict[str, Any] = {}
        for name in [given.name for given in self.session.get_inputs()]:
            grid = mask.to(torch.int64)
            if name in grids:
                grid = torch.zeros_like(grid).masked_scatter(mask, grids[name])
            feeds[name] = (grid.view(-1, choices, length) if self.of_choices else grid).numpy()
        try:
            found = self.session.run([output.name for output in self.outputs], feeds)
        except Exception as error:  # its errors have no class in common
            raise BertsmithError(f"ONNX Runtime cannot run the model ({_one_line(error)})") from error
        tensors = [torch.from_numpy(cast(Any, array)) for array in found]
        return tuple(
            tensor[mask] if output.per_token else tensor.reshape(-1) if self.of_choices else tensor
            for output, tensor in zip(self.outputs, tensors, strict=True)
        )

    def forward(self, batch: Batch) -> Encoded:
        """What the file gives, in the place of hidden states."""
        found = self.ask(batch)
        spans = self.task is not None and self.task.kind == "span"
        return Encoded(torch.stack(found, -1) if spans else found[0], None)

    def task_logits(self, encoded: Encoded, batch: Batch) -> Tensor:
        """The task head's scores, which the file gave already."""
        return encoded.hidden_states


def verify(file: Path, model: Model, max_length: int) -> float:
    """The largest difference of a file to our own model over all `shapes`; BertsmithError where it is too large."""
    asked = OnnxModel(file, model)
    choices = CHOICES if asked.of_choices else 1
    difference = worst(
        largest_difference(asked.ask(shape.batch, shape.length, choices), answer(model, shape.batch))
        for shape in shapes(model.config.vocab_size, model.config.token_types, max_length, choices)
    )
    if not difference <= TOLERANCE:
        raise BertsmithError(
            f"the ONNX model differs from ours by up to {difference:.1e}, more than {TOLERANCE:.0e}: nothing is written"
        )
    return difference


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
