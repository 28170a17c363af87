"""TFRecord frames: length (8 bytes), its masked CRC32C (4), an event, its masked CRC32C (4), all
little-endian.

Source: tensorflow/core/lib/io/record_writer.cc.
"""

from typing import Any, Protocol

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from tarslab.runs.recording import Series

HEAD, TAIL = 12, 4

# What ends the reading of a file before its end.
CUT_OFF = "the last record is cut off"
BAD_LENGTH = "a record's length fails its checksum"
BAD_RECORD = "a record fails its checksum"
BAD_EVENT = "a record is not a TensorBoard event"


class Reader(Protocol):
    """Takes the bytes of one event file piece by piece, and keeps the scalars in them."""

    started: float
    """The earliest wall time, infinity before the first event."""

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters that stood in the file."""

    def feed(self, data: NDArray[np.uint8]) -> tuple[int, str | None]:
        """How many bytes held whole, sound events, and what was wrong with the next.

        Nothing is wrong with an event whose end is still to come.
        """

    def series(self) -> dict[str, Series]:
        """The series of all that was fed since the last call, by tag."""


def masked_crc(data: bytes) -> bytes:
    """The checksum as it stands in a frame."""
    return masked(np.array([google_crc32c.value(data)], np.uint32)).astype("<u4").tobytes()


def masked(crc: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Checksums as TFRecord stores them, lest a checksum of checksums be 0."""
    return ((crc >> 15 | crc << 17) + np.uint32(0xA282EAD8)).astype(np.uint32)
