"""README.md of a fine-tuned model: what it decides, how well, beside what, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bertsmith
from bertsmith.models.config import EncoderConfig
from bertsmith.report.finetuning import title, verdict
from bertsmith.tasks.baselines import DESCRIPTIONS
from bertsmith.tasks.task import Task

PIPELINES = {
    "classification": "text-classification",
    "regression": "text-classification",
    "tagging": "token-classification",
    "answering": "question-answering",
    "choice": "multiple-choice",
    "similarity": "sentence-similarity",
}
CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "tagging": "AutoModelForTokenClassification",
    "answering": "AutoModelForQuestionAnswering",
    "choice": "AutoModelForMultipleChoice",
    "similarity": "AutoModel",
}
RUNNABLE = ("text-classification", "token-classification")  # pipelines that every version of transformers has
LABELS_SHOWN = 30
POOLED = """
texts = tokenizer(["a text", "another one"], padding=True, return_tensors="pt")
states, mask = model(**texts).last_hidden_state, texts["attention_mask"][..., None]
vectors = (states * mask).sum(1) / mask.sum(1)  # the mean; states[:, 0] of a model with "pooling": "cls" in task.json
score = vectors[0] @ vectors[1] / (vectors[0].norm() * vectors[1].norm())"""


def card(result: Mapping[str, Any], task: Task, labels: tuple[str, ...], encoder: EncoderConfig, run: Path) -> str:
    """The card as Markdown with YAML front matter, as the Hugging Face hub reads it. run: the kept run."""
    front = {
        "language": task.language,
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": PIPELINES[task.type],
        "tags": f"[{encoder.family}, {task.type}, bertsmith]",
        "metrics": f"[{', '.join(result['validation'])}]",
    }
    yaml = "\n".join(f"{name}: {value}" for name, value in front.items())
    blocks = [
        f"---\n{yaml}\n---",
        f"# {title(task)}",
        f"An encoder of the {encoder.family.upper()} family with {encoder.layers} layers, width {encoder.hidden_size} "
        f"and {encoder.heads} heads, fine-tuned with bertsmith {bertsmith.__version__}.",
        verdict(result, task),
        _figures(result),
        f"## Use\n\n{_usage(task)}",
    ]
    if labels:
        more = f", and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
        shown = ", ".join(f"`{label.replace('`', chr(39))}`" for label in labels[:LABELS_SHOWN])
        blocks.append(f"## Labels\n\n{shown}{more}")
    blocks += [
        "## Limits",
        "The figures hold for text like that of the validation part, by which step, settings and seed were chosen. "
        "Nothing is known of other text. Whoever publishes the model chooses the licence that its data allow.",
    ]
    recipe = run / "recipe.toml"
    if recipe.is_file():
        blocks.append(f"## Settings\n\n```toml\n{recipe.read_text('utf-8').strip()}\n```")
    return "\n\n".join(blocks) + "\n"


def _figures(result: Mapping[str, Any]) -> str:
    names = list(result["validation"])
    rows = [("this model", result["validation"])]
    rows += [("this model, test", result["test"])] if "test" in result else []
    rows += [("its teacher", result["teacher"]["validation"])] if "teacher" in result else []
    rows += [(DESCRIPTIONS[name], values) for name, values in result["baselines"].items()]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    lines += [
        f"| {name} | {' | '.join(f'{values[metric]:.4f}' if metric in values else '' for metric in names)} |"
        for name, values in rows
    ]
    return "\n".join(lines)


def _usage(task: Task) -> str:
    kind = PIPELINES[task.type]
    if kind in RUNNABLE:
        code = f'from transformers import pipeline\n\nask = pipeline("{kind}", "path/to/this/folder")\nask("a text")'
    else:
        name = CLASSES[task.type]
        code = (
            f"from transformers import AutoTokenizer, {name}\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")\n'
            f'model = {name}.from_pretrained("path/to/this/folder")'
        )
    if task.type == "similarity":
        code += "\n" + POOLED
    return f"```python\n{code}\n```"
