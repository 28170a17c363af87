"""TensorBoard event files: TFRecord frames that hold ``Event`` protocol buffers.

A frame is the length (8 bytes), its masked CRC32C (4), the event, its masked CRC32C (4), all
little-endian. Both checksums are verified, so a damaged file ends early and never gives a wrong
value. Of the events only scalars are read: ``simple_value`` and one-element tensors (TensorFlow 2);
and the text table in which CleanRL keeps its hyperparameters.

Sources: tensorflow/core/lib/io/record_writer.cc, tensorflow/core/util/event.proto and
tensorflow/core/framework/{summary,tensor}.proto.
"""

import ast
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from tarslab.runs.formats.parallel import in_processes
from tarslab.runs.recording import Recording, Series

NAME = "tfevents"
LOOKED_FOR = "TensorBoard event files (*tfevents*)"

FRAME_HEAD, FRAME_TAIL = 12, 4
WALL_TIME_KEY = 0x09

# Endings of files about event files, or made from them.
OTHER_ENDINGS = {".csv", ".gz", ".ipynb", ".json", ".md", ".png", ".py", ".txt", ".zip"}

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
DT_STRING, STRING_VAL = 7, 8
HYPERPARAMETER_TAG = b"hyperparameters/text_summary"

Field = tuple[int, int, Any]


def matches(path: Path, head: bytes) -> bool:
    """A name that says so, since the first frame may be damaged; or a first frame with an Event.

    An Event starts with its wall time, which tells it from the examples of a TFRecord data set.
    """
    sound = len(head) > FRAME_HEAD and _masked_crc(head[:8]) == head[8:FRAME_HEAD]
    named = "tfevents" in path.name and path.suffix not in OTHER_ENDINGS
    return named or (sound and head[FRAME_HEAD] == WALL_TIME_KEY)


def home(path: Path) -> Path:
    """The folder: TensorBoard takes all event files of a folder for one run."""
    return path.parent


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with every tag."""
    return in_processes(NAME, lambda paths: [read(paths)], homes)


def read(paths: Sequence[Path]) -> Recording:
    """One run from its event files, put in order of their first event's wall time."""
    recording = Recording(NAME)
    files = []
    for path in paths:
        scalars = _Scalars()
        if warning := _read_file(path, scalars):
            recording.warnings.append(warning)
        files.append((scalars.started, path.name, scalars))
    files.sort(key=lambda file: file[:2])

    parts: dict[str, list[Series]] = {}
    for _, _, scalars in files:
        recording.config |= scalars.config
        for tag, columns in scalars.columns.items():
            parts.setdefault(tag, []).append(Series.of(*columns))
    recording.series = {tag: Series.joined(series) for tag, series in parts.items()}
    return recording


class _Scalars:
    """What one event file has said so far."""

    def __init__(self) -> None:
        self.started = float("inf")
        self.columns: dict[str, tuple[list[int], list[float], list[float]]] = {}
        self.config: dict[str, Any] = {}
        self._plugins: dict[bytes, bytes] = {}
        self._names: dict[bytes, str] = {}

    def add(self, event: bytes) -> None:
        """Take the scalars of one serialised Event."""
        wall_time, step, values = 0.0, 0, []
        for number, _, value in _fields(event):
            if number == 1:
                (wall_time,) = struct.unpack("<d", value)
            elif number == 2:
                step = value - (1 << 64) if value >> 63 else value
            elif number == 5:
                values += [part for field, _, part in _fields(value) if field == 1]
        self.started = min(self.started, wall_time)
        for value in values:
            self._add_value(value, step, wall_time)

    def _add_value(self, summary_value: bytes, step: int, wall_time: float) -> None:
        tag, number, tensor = b"", None, None
        for field, _, part in _fields(summary_value):
            if field == 1:
                tag = part
            elif field == 2:
                (number,) = struct.unpack("<f", part)
            elif field == 8:
                tensor = part
            elif field == 9:
                # Metadata comes with a tag's first value only.
                self._plugins.setdefault(tag, _plugin_name(part))
        if tensor is not None:
            if tag == HYPERPARAMETER_TAG:
                self.config |= _cleanrl_config(_tensor_text(tensor))
            if self._plugins.get(tag, b"scalars") != b"scalars":
                return
            number = _tensor_scalar(tensor)
        if number is None:
            return
        name = self._names.get(tag) or self._names.setdefault(
            tag, tag.decode("utf-8", errors="backslashreplace")
        )
        columns = self.columns.setdefault(name, ([], [], []))
        columns[0].append(step)
        columns[1].append(wall_time)
        columns[2].append(number)


def _read_file(path: Path, scalars: _Scalars) -> str | None:
    """Feed every sound event of a file to ``scalars``; say what was wrong with the rest."""
    data = path.read_bytes()
    if not data:
        return f"{path}: the event file is empty; the writer may not have flushed yet"
    for start, event in _frames(data):
        if isinstance(event, str):
            return f"{path}: {event} at byte {start} of {len(data)}; {_what_was_read(start)}"
        try:
            scalars.add(event)
        except (ValueError, IndexError, TypeError, struct.error):
            return (
                f"{path}: the record at byte {start} is not a TensorBoard event; "
                + _what_was_read(start)
            )
    return None


def _what_was_read(start: int) -> str:
    return "all before it was read" if start else "nothing could be read"


def _frames(data: bytes) -> Iterator[tuple[int, bytes | str]]:
    """Start and content of every frame; the content of a damaged one is its damage, and ends it."""
    position, end = 0, len(data)
    sound_lengths: dict[bytes, int] = {}
    while position < end:
        head = data[position : position + FRAME_HEAD]
        if len(head) < FRAME_HEAD:
            yield position, "the last record is cut off"
            return
        length = sound_lengths.get(head)
        if length is None:
            if _masked_crc(head[:8]) != head[8:]:
                yield position, "a record's length fails its checksum"
                return
            length = int.from_bytes(head[:8], "little")
            sound_lengths[head] = length
        start = position + FRAME_HEAD
        following = start + length + FRAME_TAIL
        if following > end:
            yield position, "the last record is cut off"
            return
        event = data[start : start + length]
        if _masked_crc(event) != data[start + length : following]:
            yield position, "a record fails its checksum"
            return
        yield position, event
        position = following


def _masked_crc(data: bytes) -> bytes:
    crc: int = google_crc32c.value(data)
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _fields(message: bytes) -> Iterator[Field]:
    """Number, wire type and raw value of every field; ValueError or IndexError if malformed."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield key >> 3, wire_type, value
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if position + length > end:
            raise ValueError("field past the end of its message")
        yield key >> 3, wire_type, message[position : position + length]
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


def _plugin_name(metadata: bytes) -> bytes:
    for number, _, plugin_data in _fields(metadata):
        if number == 1:
            for field, _, name in _fields(plugin_data):
                if field == 1:
                    return bytes(name)
    return b"scalars"


def _tensor_scalar(tensor: bytes) -> float | None:
    """The number in a numeric tensor of one element, None for any other tensor."""
    fields = list(_fields(tensor))
    dtype, typed_field = TENSOR_DTYPES.get(_first(fields, 1, 0), (None, None))
    if dtype is None:
        return None
    content = _first(fields, 4, b"")
    if content:
        one = len(content) == np.dtype(dtype).itemsize
        return float(np.frombuffer(content, dtype)[0]) if one else None
    if any(_first(list(_fields(dim)), 1, 0) != 1 for dim in _dimensions(fields)):
        return None
    typed = [(wire, value) for number, wire, value in fields if number == typed_field]
    if not typed:
        # Protocol buffers leave out what is zero.
        return 0.0
    wire_type, value = typed[0]
    if dtype in ("<f4", "<f8"):
        size = np.dtype(dtype).itemsize
        return float(np.frombuffer(value, dtype)[0]) if len(value) == size else None
    if wire_type == 2:
        value, after = _varint(value, 0)
        if after != len(typed[0][1]):
            return None
    if dtype == "<f2":
        return float(np.array([value], dtype="<u2").view("<f2")[0])
    signed = value - (1 << 64) if value >> 63 else value
    return float(signed)


def _dimensions(tensor_fields: list[Field]) -> list[bytes]:
    shape = _first(tensor_fields, 2, b"")
    return [value for number, _, value in _fields(shape) if number == 2]


def _tensor_text(tensor: bytes) -> str:
    text = _first(list(_fields(tensor)), STRING_VAL, b"")
    return bytes(text).decode("utf-8", errors="replace")


def _cleanrl_config(text: str) -> dict[str, Any]:
    """CleanRL's ``|param|value|`` table, below its two header lines; its experiments are named
    after the algorithm."""
    rows = (line.strip("|").split("|", 1) for line in text.splitlines()[2:] if "|" in line)
    table = {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}
    values = {name: _literal(text) for name, text in table.items()}
    return {"algo": values["exp_name"], **values} if "exp_name" in values else values


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _first(fields: list[Field], number: int, default: Any) -> Any:
    return next((value for field, _, value in fields if field == number), default)
