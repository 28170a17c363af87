"""CRC32C inside compiled loops: the processor's own instruction where it has one, else tables."""

# mypy: ignore-errors

import platform

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from tarslab.compiled import compiled, word8, word32, word64

ALL_BITS = np.uint64(0xFFFFFFFF)


def _instruction(name: str, width: int, word: int):
    """A function of a checksum and a word, each uint64, that is one machine instruction."""

    @intrinsic
    def instruction(typing_context, crc, word_type):
        def generate(context, builder, signature, arguments):
            whole, checksum, part = ir.IntType(64), ir.IntType(width), ir.IntType(word)
            llvm = builder.module.declare_intrinsic(
                name, (), ir.FunctionType(checksum, [checksum, part])
            )
            crc, content = arguments
            crc = builder.trunc(crc, checksum) if width < 64 else crc
            content = builder.trunc(content, part) if word < 64 else content
            result = builder.call(llvm, [crc, content])
            return builder.zext(result, whole) if width < 64 else result

        return types.uint64(types.uint64, types.uint64), generate

    return instruction


def _table() -> NDArray[np.uint64]:
    """CRC32C of each byte."""
    table = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ 0x82F63B78, table >> 1).astype(np.uint64)
    return table


TABLE = _table()


@compiled
def _byte_by_table(crc, byte):
    return TABLE[(crc ^ byte) & np.uint64(0xFF)] ^ (crc >> np.uint64(8))


@compiled
def _half_by_table(crc, word):
    for _ in range(4):
        crc = _byte_by_table(crc, word & np.uint64(0xFF))
        word >>= np.uint64(8)
    return crc


@compiled
def _word_by_table(crc, word):
    for _ in range(8):
        crc = _byte_by_table(crc, word & np.uint64(0xFF))
        word >>= np.uint64(8)
    return crc


def _steps():
    """How to take eight bytes, four, and one into a checksum on this processor."""
    features, machine = binding.get_host_cpu_features(), platform.machine().lower()
    if machine in ("x86_64", "amd64") and features.get("sse4.2"):
        x86 = "llvm.x86.sse42.crc32"
        shapes = ((f"{x86}.64.64", 64, 64), (f"{x86}.32.32", 32, 32), (f"{x86}.32.8", 32, 8))
        return tuple(_instruction(*shape) for shape in shapes)
    return _word_by_table, _half_by_table, _byte_by_table


_take_word, _take_half, _take_byte = _steps()


@compiled
def masked_crc(data, start, end):
    """The masked CRC32C that stands in a TFRecord, of ``data[start:end]``."""
    crc = ALL_BITS
    while start + 8 <= end:
        crc = _take_word(crc, word64(data, start))
        start += 8
    if start + 4 <= end:
        crc = _take_half(crc, word32(data, start))
        start += 4
    while start < end:
        crc = _take_byte(crc, word8(data, start))
        start += 1
    crc ^= ALL_BITS
    return ((crc >> np.uint64(15) | crc << np.uint64(17)) + np.uint64(0xA282EAD8)) & ALL_BITS
