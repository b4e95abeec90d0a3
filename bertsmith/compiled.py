"""The one way this package compiles a loop: numba without the interpreter lock, cached on disk where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile `function` on first use for the array types it meets.

    The machine code is cached beside the source or in the user's cache folder; where neither can be written
    (a read-only installation without a home) it is compiled anew by each process.
    """
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder it may write its cache to
        compiled = njit(nogil=True)(function)
    return cast(Function, compiled)
