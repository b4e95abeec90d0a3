"""The one way this package compiles a loop: numba without the interpreter lock, cached on disk where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


ANY_ORDER = {"reassoc", "contract", "arcp", "nsz"}


def kernel(function: Function) -> Function:
    """Compile `function` on first use for the array types it meets.

    The machine code is cached beside the source or in the user's cache folder; where neither can be written
    (a read-only installation without a home) it is compiled anew by each process.
    """
    return _compile(function)


def vector_kernel(function: Function) -> Function:
    """The same for floating point whose sums may be taken in any order: only so do they become vector instructions.

    The result may differ in the last bits from one kind of processor to another.
    """
    return _compile(function, fastmath=ANY_ORDER)


def _compile(function: Function, **options: Any) -> Function:
    try:
        compiled = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba found no folder it may write its cache to
        compiled = njit(nogil=True, **options)(function)
    return cast(Function, compiled)
