"""Models as Hugging Face folders: every trained head, the tokenizer, and the settings of a task."""

from __future__ import annotations

import json
from pathlib import Path

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.exports.outputs import answer, largest_difference, worst
from bertsmith.exports.probes import line_sequences
from bertsmith.models.folder import CONFIG, save_model
from bertsmith.models.huggingface import config_to_json, remarks
from bertsmith.models.model import skeleton
from bertsmith.tasks.forward import batches, device_of
from bertsmith.tasks.trained import Trained, load_trained, write_settings

TOLERANCE = 1e-5


def write_huggingface(trained: Trained, folder: Path) -> float:
    """Write weights, config, tokenizer and settings; the largest difference of what was written, read again.

    BertsmithError when that is too large or writing fails.
    """
    model = trained.model
    save_model(model, folder, pad_token_id=trained.tokenizer.special.pad)
    trained.tokenizer.save(folder, trained.max_length)
    if trained.settings is not None:
        write_settings(folder, trained.settings)
    for remark in remarks(model.config, model.trained_heads):
        console.say(remark)
    again = load_trained(folder)
    again.model.to(device_of(model))
    if (again.model.trained_heads, again.model.task) != (model.trained_heads, model.task):
        raise BertsmithError("the folder that was written does not hold the heads of the model: nothing is written")
    difference = worst(
        largest_difference(answer(again.model, batch), answer(model, batch))
        for _, batch in batches(line_sequences(trained.tokenizer, trained.max_length), device_of(model))
    )
    if not difference <= TOLERANCE:
        raise BertsmithError(f"read again, the model differs by {difference:.1e}: nothing is written")
    return difference


def write_beside(trained: Trained, folder: Path) -> None:
    """config.json and tokenizer alone, for weights in a form of their own."""
    model = trained.model
    values = config_to_json(model.config, model.trained_heads, trained.tokenizer.special.pad, model.task)
    (folder / CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    trained.tokenizer.save(folder, trained.max_length)


def encoder_alone(trained: Trained) -> Trained:
    """The same encoder without any head; settings remain where they are those of its vectors."""
    model = skeleton(trained.model.config, (), pooler=trained.model.encoder.pooler is not None)
    model.encoder = trained.model.encoder
    settings = trained.settings
    return trained._replace(
        model=model.eval(), settings=settings if settings is not None and settings.type == "similarity" else None
    )
