"""The optional libraries of exports: asked for with one clear line, and kept quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from bertsmith.errors import BertsmithError

ONNX = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """BertsmithError, with the line that installs them, where libraries of the ONNX export are missing."""
    if missing := [name for name in ONNX if find_spec(name) is None]:
        raise BertsmithError(
            f"export --to onnx: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed "
            "(pip install 'bertsmith[onnx]')"
        )


def is_installed(name: str) -> bool:
    """Whether a library is there, found without loading it."""
    return find_spec(name) is not None


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, remarks of exporters about themselves are not shown; errors are."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
