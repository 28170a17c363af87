"""Loops compiled by numba, the machine code kept on disk.

Importing numba takes some 0.4 s, so only modules named ``kernels`` import this one, and the public
functions import those when the data is large enough to pay for it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from tarslab.cores import cores, over_cores

__all__ = ["compiled", "cores", "over_cores"]

Function = TypeVar("Function", bound=Callable[..., Any])

# Without fastmath, which would reorder sums and drop NaN; nogil, so that threads run side by side.
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile at the first call, once a machine where any cache folder can be written."""
    try:
        fast: Function = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # numba found no folder for its cache: neither beside the source nor in the user's home.
        fast = numba.njit(**_OPTIONS)(function)
    return fast
