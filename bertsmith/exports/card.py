"""README.md of an export: what it is, how it was checked, and how the tools that it is for load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bertsmith
from bertsmith.exports.outputs import outputs_of
from bertsmith.exports.padded import Padded
from bertsmith.models.task_labels import automatic_class
from bertsmith.report.finetuning_card import PIPELINES
from bertsmith.tasks.evaluation import task_type_of
from bertsmith.tasks.trained import Trained

CARD = "README.md"
LIBRARIES = {"huggingface": "transformers", "onnx": "onnx", "sentence-transformers": "sentence-transformers"}
LABELS_SHOWN = 30


def write_card(trained: Trained, folder: Path, to: str, result: Mapping[str, Any]) -> None:
    """Put README.md into a folder; one that came with the model stays where the form is the same."""
    own = trained.folder / CARD
    kept = to == "huggingface" and own.is_file()
    text = own.read_text("utf-8", "replace") if kept else card(trained, to, result)
    (folder / CARD).write_text(text, encoding="utf-8")


def card(trained: Trained, to: str, result: Mapping[str, Any]) -> str:
    """The card as Markdown with YAML front matter, as the Hugging Face hub reads it."""
    config, language = trained.model.config, trained.settings.language if trained.settings else ""
    front = {
        "language": language,
        "license": "unknown",
        "library_name": LIBRARIES[to],
        "pipeline_tag": _pipeline(trained, to),
        "tags": f"[{config.family}, bertsmith]",
    }
    yaml = "\n".join(f"{name}: {value}" for name, value in front.items() if value)
    usage = {"huggingface": _for_transformers, "onnx": _for_onnx, "sentence-transformers": _for_sentences}[to]
    blocks = [
        f"---\n{yaml}\n---",
        f"# {trained.folder.parent.name if trained.folder.name == 'model' else trained.folder.resolve().name}",
        f"An encoder of the {config.family.upper()} family with {config.layers} layers, width {config.hidden_size} and "
        f"{config.heads} heads over a vocabulary of {config.vocab_size:,}, exported with bertsmith "
        f"{bertsmith.__version__}. It reads up to {trained.max_length} tokens.",
        f"## Use\n\n```python\n{usage(trained)}\n```",
        f"## Checked\n\n{_checked(result)}",
    ]
    labels = trained.model.task.labels if trained.model.task and to != "sentence-transformers" else ()
    if labels:
        more = f", and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
        shown = ", ".join(f"`{label.replace('`', chr(39))}`" for label in labels[:LABELS_SHOWN])
        blocks.append(f"## Labels\n\n{shown}{more}")
    blocks.append("## Limits\n\nWhoever publishes the model chooses the licence that its data allow.")
    return "\n\n".join(blocks) + "\n"


def _pipeline(trained: Trained, to: str) -> str:
    model = trained.model
    if to == "sentence-transformers":
        return "sentence-similarity"
    if model.task is not None:
        return PIPELINES[task_type_of(model.task)]
    return "fill-mask" if "masked_lm" in model.trained_heads else "feature-extraction"


def _for_transformers(trained: Trained) -> str:
    model = trained.model
    name = "AutoModel"
    if model.task is not None:
        name = automatic_class(model.task)
    elif known := [model.family.classes[head] for head in model.trained_heads if head in model.family.classes]:
        name = known[0]
    return (
        f"from transformers import AutoTokenizer, {name}\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
        f'model = {name}.from_pretrained("path/to/this/folder")'
    )


def _for_onnx(trained: Trained) -> str:
    padded = Padded(trained.model)
    inputs, outputs = ", ".join(padded.inputs), ", ".join(output.name for output in outputs_of(trained.model))
    # A tokenizer leaves the types out unless told otherwise, though the graph may ask for them.
    types = ", return_token_type_ids=True" if "token_type_ids" in padded.inputs else ""
    shape = "(batch, choices, length)" if padded.of_choices else "(batch, length)"
    return (
        f"# inputs: {inputs}, int64 {shape}; outputs: {outputs}\n"
        "import onnxruntime\nfrom transformers import AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
        'session = onnxruntime.InferenceSession("path/to/this/folder/model.onnx")\n'
        f'inputs = tokenizer(["a text", "another text"], padding=True, truncation=True{types}, return_tensors="np")\n'
        "outputs = session.run(None, {given.name: inputs[given.name] for given in session.get_inputs()})"
    )


def _for_sentences(trained: Trained) -> str:
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("path/to/this/folder")\n'
        'vectors = model.encode(["a text", "another text"])'
    )


def _checked(result: Mapping[str, Any]) -> str:
    lines = [f"It was loaded again; its outputs differ from the model's by {result['largest_difference']:.1e} at most."]
    if "int8" in result:
        int8 = result["int8"]
        line = (
            f"`{int8['file']}` holds its weights in 8 bits: {int8['megabytes']:.1f} MB instead of "
            f"{int8['megabytes_before']:.1f}; on lines of text it differs by {int8['largest_difference']:.2g} at most"
        )
        if int8["agreement"] is not None:
            line += f" and chooses the same in {int8['agreement']:.1%}"
        lines.append(f"{line}.")
        if loss := int8["loss"]:
            lines.append(
                f"Over {loss['examples']:,} examples of its task {loss['metric']} is {loss['before']:.4f} before and "
                f"{loss['after']:.4f} in 8 bits."
            )
    return " ".join(lines)
