"""Event files of any size for benchmarks, kept in ``build/`` from one run to the next."""

import struct
from pathlib import Path

import google_crc32c
import numpy as np

BUILD = Path(__file__).parents[2] / "build" / "bench-event-files"
NAMED = ("rollout/ep_rew_mean", "train/value_loss", "train/entropy_loss", "time/fps")
TAGS = [*NAMED, *(f"train/metric_{number:02d}" for number in range(len(NAMED), 20))]
STARTED, STEPS_A_POINT = 1.7e9, 2_048


def event_tree(runs: int, points: int) -> Path:
    """A folder with a run a subfolder, each with ``points`` points of each of 20 tags."""
    folder = BUILD / f"{runs}x{points}"
    complete = folder.with_suffix(".complete")
    if not complete.exists():
        for run in range(runs):
            _write_run(folder / "ppo" / f"seed_{run}" / "events.out.tfevents.1", points, run)
        complete.touch()
    return folder


def _write_run(path: Path, points: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(size=(points, len(TAGS))).cumsum(axis=0)
    tags = [_field(0x0A, tag.encode()) for tag in TAGS]
    with path.open("wb") as file:
        file.write(_frame(struct.pack("<Bd", 0x09, STARTED) + _field(0x1A, b"brain.Event:2")))
        for point, row in enumerate(values.tolist()):
            head = struct.pack("<Bd", 0x09, STARTED + point / 10)
            head += b"\x10" + _varint(point * STEPS_A_POINT) if point else b""
            file.write(
                b"".join(
                    _frame(head + _field(0x2A, _field(0x0A, tag + struct.pack("<Bf", 0x15, value))))
                    for tag, value in zip(tags, row, strict=True)
                )
            )


def _frame(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _field(key: int, content: bytes) -> bytes:
    return bytes([key]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])
