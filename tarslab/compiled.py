"""Loops compiled by numba, the machine code kept on disk.

Importing numba takes some 0.4 s, so only modules named ``kernels`` import this one, and the public
functions import those when the data is large enough to pay for it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from tarslab.cores import cores, over_cores

__all__ = ["compiled", "cores", "over_cores", "word64"]

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


@intrinsic  # type: ignore[untyped-decorator]
def word64(typing_context: Any, data: Any, at: Any) -> Any:
    """Eight bytes of ``data`` from ``at`` on, little-endian; the caller answers for the bounds."""
    if not isinstance(data, types.Array) or data.dtype != types.uint8:
        raise TypingError("data must be an array of uint8")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate
