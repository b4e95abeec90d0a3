"""The sides that benchmarks/inference.py compares, each asked the same lines for the same three logits.

A side is made in a process of its own from one folder, a sequence classifier with random weights. `answer` takes lines
and gives their logits, tokenisation included; `one` asks for a single line.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

Logits = npt.NDArray[np.float32]
BATCH = 32
SORTED_BATCH = 16  # of a few lines: with 32, those sorted side by side would differ too much in length
ONNX = "benchmark.onnx"


class Side(Protocol):
    """One way to ask the model."""

    def answer(self, lines: Sequence[str]) -> Logits | None:
        """(lines, labels); None of a side that has no such head."""
        ...


# --- ours ---


class Ours:
    """bertsmith.Predictor in a precision."""

    def __init__(self, folder: Path, precision: Any) -> None:
        from bertsmith.serving.predictor import Predictor

        self.predictor = Predictor.load(folder, precision=precision)
        if self.predictor.precision != precision:
            raise SystemExit(f"{precision} does not exist on this machine")

    def answer(self, lines: Sequence[str]) -> None:
        """As a user asks."""
        self.predictor.classify(list(lines))

    def logits(self, lines: Sequence[str]) -> Logits:
        """The scores behind the answers."""
        from bertsmith.tasks.encoding import fitted, ids_of
        from bertsmith.tasks.evaluation import task_scores

        own = self.predictor
        ids = ids_of(own.tokenizer, lines)
        return np.stack(task_scores(own.model, [fitted(own.tokenizer, each, None, own.max_length)[0] for each in ids]))


# --- theirs ---


class Pipeline:
    """transformers' text-classification pipeline."""

    def __init__(self, folder: Path, batch: int) -> None:
        from transformers import pipeline

        self.ask: Any = pipeline("text-classification", model=str(folder), device="cpu", batch_size=batch)

    def answer(self, lines: Sequence[str]) -> Logits:
        """All labels' scores, as logits."""
        found = self.ask(list(lines), top_k=None, function_to_apply="none", truncation=True)
        scores = [{label["label"]: label["score"] for label in each} for each in found]
        names = list(self.ask.model.config.id2label.values())
        return np.array([[each[name] for name in names] for each in scores], dtype=np.float32)


class Sorted(ABC):
    """Lines sorted by length, in padded batches; what computes a batch is left to whoever inherits."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def answer(self, lines: Sequence[str]) -> Logits:
        """The longest first."""
        encoded = self.tokenizer(list(lines), truncation=True)
        order = sorted(range(len(lines)), key=lambda index: -len(encoded["input_ids"][index]))
        found: list[Any] = [None] * len(lines)
        for start in range(0, len(order), SORTED_BATCH):
            chosen = order[start : start + SORTED_BATCH]
            several = {name: [values[index] for index in chosen] for name, values in encoded.items()}
            padded = self.tokenizer.pad(several, return_tensors="pt")
            for index, logits in zip(chosen, self.compute(dict(padded)), strict=True):
                found[index] = logits
        return np.stack(found)

    @abstractmethod
    def compute(self, padded: dict[str, torch.Tensor]) -> Logits:
        """The logits of a padded batch."""


class SortedModel(Sorted):
    """transformers' model."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from transformers import AutoModelForSequenceClassification

        super().__init__(folder)
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def compute(self, padded: dict[str, torch.Tensor]) -> Logits:
        """As fp32 whatever the model computes in."""
        return self.model(**padded).logits.float().numpy()


class SortedOnnx(Sorted):
    """ONNX Runtime with all its graph optimisations."""

    def __init__(self, folder: Path, int8: bool) -> None:
        import onnxruntime

        super().__init__(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        file = exported(folder, int8)
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self.session.get_inputs()]

    def compute(self, padded: dict[str, torch.Tensor]) -> Logits:
        """Only the inputs that the graph has."""
        found: Any = self.session.run(None, {name: padded[name].numpy() for name in self.inputs})
        return found[0]


class SentenceTransformers:
    """sentence-transformers' encode: the same encoder, mean pooling instead of the head."""

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), device="cpu")  # of a plain encoder: with mean pooling

    def answer(self, lines: Sequence[str]) -> None:
        """It sorts by length itself."""
        self.model.encode(list(lines), batch_size=SORTED_BATCH, show_progress_bar=False)


def exported(folder: Path, int8: bool) -> Path:
    """The model as an ONNX file, written by torch's exporter from transformers' class; int8 by dynamic quantisation."""
    file = folder / (f"int8-{ONNX}" if int8 else ONNX)
    if file.exists():
        return file
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(exported(folder, False), file, weight_type=QuantType.QInt8)
        return file
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (model.config.model_type == "bert")
    torch.onnx.export(
        model,
        (),
        str(file),
        kwargs={name: torch.ones(2, 9, dtype=torch.int64) for name in names},
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
        opset_version=17,
        dynamo=False,  # its graph is the one that ONNX Runtime knows how to fuse
    )
    return file


SIDES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "ours fp32": ("fp32", lambda folder: Ours(folder, "fp32")),
    "ours bf16": ("bf16", lambda folder: Ours(folder, "bf16")),
    "ours int8": ("int8", lambda folder: Ours(folder, "int8")),
    "pipeline 1": ("fp32", lambda folder: Pipeline(folder, 1)),
    "pipeline 32": ("fp32", lambda folder: Pipeline(folder, BATCH)),
    "sorted fp32": ("fp32", lambda folder: SortedModel(folder, torch.float32)),
    "sorted bf16": ("bf16", lambda folder: SortedModel(folder, torch.bfloat16)),
    "sentence-transformers": ("fp32", SentenceTransformers),
    "onnxruntime fp32": ("fp32", lambda folder: SortedOnnx(folder, False)),
    "onnxruntime int8": ("int8", lambda folder: SortedOnnx(folder, True)),
}
"""Name -> precision and how it is made."""


def confine(threads: int) -> None:
    """Keep this process, whatever libraries it loads, to so many cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    torch.set_num_threads(threads)


def logits_of(side: Any, lines: Sequence[str]) -> Logits | None:
    """What a side computes for these lines; None where it has no such head."""
    return side.logits(lines) if isinstance(side, Ours) else side.answer(lines)
