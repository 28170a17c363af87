"""Loops compiled by numba, the machine code kept on disk.

Importing numba takes some 0.4 s, so only modules named ``kernels`` import this one, and the public
functions import those when the data is large enough to pay for it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tarslab.cores import cores, over_cores

__all__ = [
    "byte",
    "compiled",
    "cores",
    "float32",
    "float64",
    "leading_zeros",
    "ones",
    "over_cores",
    "product",
    "trailing_zeros",
    "word8",
    "word32",
    "word64",
]

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


def _load(kind: ir.Type, given: types.Type, extend: str) -> Any:
    """A function of an address and a place after it: what stands there, by one load."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, address: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.inttoptr(builder.add(*arguments), kind.as_pointer())
            found = builder.load(place, align=1)
            return getattr(builder, extend)(found, context.get_value_type(given))

        return given(types.int64, types.int64), generate

    return load


# Little-endian numbers in memory, as uint64 and float64, and a byte as int64. They take the address
# of an array (``data.ctypes.data``), since numba counts references to an array at every call that
# passes it on, which takes longer than what most of these calls do. The caller answers for the
# bounds, and keeps the array.
byte = _load(ir.IntType(8), types.int64, "zext")
word8 = _load(ir.IntType(8), types.uint64, "zext")
word32 = _load(ir.IntType(32), types.uint64, "zext")
word64 = _load(ir.IntType(64), types.uint64, "bitcast")
float32 = _load(ir.FloatType(), types.float64, "fpext")
float64 = _load(ir.DoubleType(), types.float64, "bitcast")


@intrinsic  # type: ignore[untyped-decorator]
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """How many bits of a uint64 are zero before the first that is not."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """How many low bits of a uint64 are zero below the first that is not, 64 where all are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def ones(typing_context: Any, word: Any) -> Any:
    """How many bits of a uint64 are one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def product(typing_context: Any, a: Any, b: Any) -> Any:
    """The 128 bits of the product of two uint64: high and low word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, word = ir.IntType(128), ir.IntType(64)
        found = builder.mul(*(builder.zext(argument, whole) for argument in arguments))
        high = builder.trunc(builder.lshr(found, ir.Constant(whole, 64)), word)
        return context.make_tuple(
            builder, signature.return_type, (high, builder.trunc(found, word))
        )

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate
