"""Small random models of transformers, to be held against ours."""

from __future__ import annotations

from typing import Any

import torch
import transformers


def their_model(name: str, layers: int = 3, **changes: Any) -> Any:
    """A random model of theirs with biases and norms that matter."""
    kind = getattr(transformers, name)
    small: dict[str, Any] = {"vocab_size": 97, "max_position_embeddings": 26}
    if kind.config_class is transformers.DistilBertConfig:
        small |= {"dim": 32, "n_layers": layers, "n_heads": 4, "hidden_dim": 48}
    else:
        small |= {"hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 48}
    if kind.config_class is transformers.AlbertConfig:
        small |= {"embedding_size": 12}
    torch.manual_seed(1)
    model = kind(kind.config_class(**{**small, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()
