"""What a folder with a finished run is known by, and what the same line may change in it. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FREE = frozenset(f"training.{name}" for name in ("save_every", "keep", "log_every", "workers"))
"""What a resumed run may change: none of it reaches the weights."""


def finished_result(file: Path, model: Path) -> dict[str, Any] | None:
    """What `file` says of a finished run; None without it, or without the model that it speaks of."""
    try:
        result = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    whole = (model / "model.safetensors").is_file() and (model / "config.json").is_file()
    return result if whole and isinstance(result, dict) else None
