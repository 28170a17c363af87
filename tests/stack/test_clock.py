"""The time of the stack."""

import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tarslab.stack.clock import Clock


def test_a_clock_without_a_file_is_the_machine_s():
    before = time.time()
    assert before <= Clock().now() <= time.time()


def test_the_machine_s_clock_cannot_be_moved():
    with pytest.raises(ValueError, match="cannot be moved"):
        Clock().advance(1.0)


def test_a_clock_is_as_far_ahead_as_its_file_says(tmp_path: Path):
    # A little-endian double: the format is part of what services are told.
    path = tmp_path / "clock"
    path.write_bytes(struct.pack("<d", 86_400.5))
    clock = Clock(path)
    before = time.time()
    assert before + 86_400.5 <= clock.now() <= time.time() + 86_400.5


def test_a_new_file_says_now(tmp_path: Path):
    assert Clock(tmp_path / "clock").ahead == 0.0
    assert (tmp_path / "clock").read_bytes() == bytes(8)


def test_a_clock_moves_for_all_that_share_the_file(tmp_path: Path):
    path = tmp_path / "clock"
    one, other = Clock(path), Clock(path)
    one.advance(10.0)
    other.advance(2.5)
    assert (one.ahead, other.ahead) == (12.5, 12.5)


def test_a_clock_moves_for_another_process_while_it_runs(tmp_path: Path):
    path = tmp_path / "clock"
    clock = Clock(path)
    program = (
        "import sys, pathlib; from tarslab.stack.clock import Clock\n"
        "clock = Clock(pathlib.Path(sys.argv[1]))\n"
        "for _ in sys.stdin: print(clock.ahead, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        seen = []
        for ahead in (0.0, 3600.0):
            clock.advance(ahead)
            other.stdin.write("\n")
            other.stdin.flush()
            seen.append(float(other.stdout.readline()))
        other.stdin.close()
    assert seen == [0.0, 3600.0]
