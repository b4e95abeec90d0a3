"""A published model with its tokenizer, written anew as a model folder of today's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertsmith import console, store
from bertsmith.models.folder import save_model
from bertsmith.models.huggingface import remarks
from bertsmith.models.importing import load_published
from bertsmith.tasks.trained import longest, require_embeddings
from bertsmith.tokenizers.tokenizer import Tokenizer


def import_published(folder: Path, out: Path) -> dict[str, Any]:
    """Read pytorch_model.bin without running anything in it; write weights in fp32 under today's names, and tokenizer.

    Errors as in `load_published` and `Tokenizer.load`; BertsmithError when the two do not fit together.
    """
    model, tokenizer = load_published(folder), Tokenizer.load(folder)
    require_embeddings(folder, tokenizer, model.config.vocab_size)
    with store.writing(out, "model", {"imported": folder.resolve().name}) as partial:
        save_model(model, partial, pad_token_id=tokenizer.special.pad)
        tokenizer.save(partial, longest(folder, model.config.max_positions))
    for remark in remarks(model.config, model.trained_heads):
        console.say(remark)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "model": str(out),
        "family": model.config.family,
        "parameters": parameters,
        "heads": list(model.trained_heads),
    }
