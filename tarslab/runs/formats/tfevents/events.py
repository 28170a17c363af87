"""Any serialised Event, value by value: slow, and right for whatever a writer may write.

Sources: tensorflow/core/util/event.proto, tensorflow/core/framework/{summary,tensor}.proto.
"""

import ast
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

# Types and field numbers of TensorProto.
TENSOR_DTYPES = {
    1: ("<f4", 5),
    2: ("<f8", 6),
    3: ("<i4", 7),
    4: ("<u1", 7),
    5: ("<i2", 7),
    6: ("<i1", 7),
    9: ("<i8", 10),
    10: ("?", 11),
    17: ("<u2", 7),
    19: ("<f2", 13),
    22: ("<u4", 16),
    23: ("<u8", 17),
}
STRING_VAL = 0x42
SCALARS_PLUGIN = b"scalars"
HYPERPARAMETER_TAG = b"hyperparameters/text_summary"

Field = tuple[int, Any]

# What reading a message raises where it is malformed.
MALFORMED = (ValueError, IndexError)


class EventReader:
    """The scalars of single events; remembers what it was told of each tag."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        """CleanRL's hyperparameters."""
        self._plugins: dict[bytes, bytes] = {}

    def scalars(self, event: bytes) -> tuple[float, int, list[tuple[bytes, float]]]:
        """Wall time, step, and every tag and number of one Event; MALFORMED where it is none."""
        wall_time, step, values = 0.0, 0, []
        for key, content in fields(event):
            if key == 0x09:
                (wall_time,) = struct.unpack("<d", content)
            elif key == 0x10:
                step = content - (1 << 64) if content >> 63 else content
            elif key == 0x2A:
                values += [part for inner, part in fields(content) if inner == 0x0A]
        found = [self.scalar(value) for value in values]
        return wall_time, step, [(tag, number) for tag, number in found if number is not None]

    def scalar(self, summary_value: bytes) -> tuple[bytes, float | None]:
        """Tag and number of one Summary.Value; None where it holds no single number."""
        tag, number, tensor = b"", None, None
        for key, content in fields(summary_value):
            if key == 0x0A:
                tag = content
            elif key == 0x15:
                (number,) = struct.unpack("<f", content)
            elif key == 0x42:
                tensor = content
            elif key == 0x4A:
                # Metadata comes with a tag's first value only.
                plugin = _plugin_name(content)
                self._plugins.setdefault(tag, plugin)
        if tensor is not None:
            if tag == HYPERPARAMETER_TAG:
                self.config |= cleanrl_config(_tensor_text(tensor))
            if self._plugins.get(tag, SCALARS_PLUGIN) != SCALARS_PLUGIN:
                return tag, None
            number = _tensor_scalar(tensor)
        return tag, number


def text_of(tag: bytes) -> str:
    """A tag as text, with what is no UTF-8 escaped."""
    return tag.decode("utf-8", errors="backslashreplace")


def _plugin_name(metadata: bytes) -> bytes:
    for key, plugin_data in fields(metadata):
        if key == 0x0A:
            for inner, name in fields(plugin_data):
                if inner == 0x0A:
                    return bytes(name)
    return SCALARS_PLUGIN


def _tensor_scalar(tensor: bytes) -> float | None:
    """The number in a numeric tensor of one element, None for any other tensor."""
    parts = list(fields(tensor))
    dtype, typed_field = TENSOR_DTYPES.get(_last(parts, 0x08, 0), (None, 0))
    if dtype is None:
        return None
    item = np.dtype(dtype)
    content = _last(parts, 0x22, b"")
    if content:
        return float(np.frombuffer(content, item)[0]) if len(content) == item.itemsize else None
    if any(_last(list(fields(dim)), 0x08, 0) != 1 for dim in _dimensions(parts)):
        return None
    typed = [(key & 7, value) for key, value in parts if key >> 3 == typed_field]
    if not typed:
        # Protocol buffers leave out what is zero.
        return 0.0
    wire_type, value = typed[0]
    if dtype in ("<f4", "<f8"):
        packed = wire_type != 0 and len(value) == item.itemsize
        return float(np.frombuffer(value, item)[0]) if packed else None
    if wire_type == 2:
        number, after = _varint(value, 0)
        if after != len(value):
            return None
    elif wire_type == 0:
        number = value
    else:
        return None
    if dtype == "<f2":
        return float(np.array([number & 0xFFFF], dtype="<u2").view("<f2")[0])
    return float(number - (1 << 64) if number >> 63 else number)


def _dimensions(tensor_fields: list[Field]) -> list[bytes]:
    shape = _last(tensor_fields, 0x12, b"")
    return [value for key, value in fields(shape) if key == 0x12]


def _tensor_text(tensor: bytes) -> str:
    """The first of a tensor's texts."""
    texts = (value for key, value in fields(tensor) if key == STRING_VAL)
    return next(texts, b"").decode("utf-8", errors="replace")


def cleanrl_config(text: str) -> dict[str, Any]:
    """CleanRL's ``|param|value|`` table, below its two header lines; its experiments are named
    after the algorithm."""
    rows = (line.strip("|").split("|", 1) for line in text.splitlines()[2:] if "|" in line)
    table = {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}
    values = {name: _literal(text) for name, text in table.items()}
    return {"algo": values["exp_name"], **values} if "exp_name" in values else values


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def _last(fields: list[Field], key: int, default: Any) -> Any:
    """What counts where a field that is not repeated stands twice."""
    return next((value for of, value in reversed(fields) if of == key), default)


def fields(message: bytes) -> Iterator[Field]:
    """Key (number << 3 | wire type) and content of every field; MALFORMED where it is none."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            number, position = _varint(message, position)
            yield key, number
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + length > end:
            raise ValueError("field past the end of its message")
        yield key, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    byte = message[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = 0, 0
    while byte >= 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if shift > 63:
            raise ValueError("varint too long")
        byte = message[position]
    return (value | byte << shift) & 0xFFFFFFFFFFFFFFFF, position + 1
