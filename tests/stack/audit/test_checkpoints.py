"""Signed checkpoints of the audit log."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tarslab.stack.audit import checkpoints as module
from tarslab.stack.audit.chain import Head
from tarslab.stack.audit.checkpoints import NAME, Checkpoint, Checkpoints, parse

MAC = "ab" * 32


def test_a_checkpoint_is_signed_with_the_key_that_is_told(tmp_path: Path):
    points = Checkpoints(tmp_path, "secret")
    point = points.sign(Head(7, MAC), 12.5)
    assert point.head == Head(7, MAC)
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(points.public_key))
    # Raises where it is not.
    message = f"tarslab audit checkpoint\n7\n{MAC}\n12.5"
    key.verify(bytes.fromhex(point.signature), message.encode())


def test_checkpoints_outlive_the_process_that_signed_them(tmp_path: Path):
    points = Checkpoints(tmp_path, "secret")
    made = [points.sign(Head(seq, MAC), float(seq)) for seq in (1, 5, 9)]
    assert list(Checkpoints(tmp_path, "secret").kept) == made
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "change",
    [{"seq": 8}, {"mac": "cd" * 32}, {"time": 12.6}, {"signature": "00" * 64}, {"signature": "x"}],
)
def test_a_changed_checkpoint_is_not_signed(tmp_path: Path, change: dict[str, object]):
    points = Checkpoints(tmp_path, "secret")
    point = points.sign(Head(7, MAC), 12.5)
    assert points.is_signed(point)
    assert not points.is_signed(point._replace(**change))  # type: ignore[arg-type]


def test_another_secret_signs_with_another_key(tmp_path: Path):
    point = Checkpoints(tmp_path, "other").sign(Head(7, MAC), 12.5)
    points = Checkpoints(tmp_path, "secret")
    assert not points.is_signed(point)
    assert list(points.kept) == []


def test_lines_that_are_no_checkpoints_are_left_out(tmp_path: Path):
    points = Checkpoints(tmp_path, "secret")
    good = points.sign(Head(7, MAC), 12.5)
    members = good._asdict()
    bad = ["", "{", "[]", "5", "[" * 100_000, '{"seq": 1}', json.dumps({**members, "more": 1})]
    strange = [json.dumps({**members, "signature": 5}), json.dumps({**members, "seq": [7]})]
    assert parse([*bad, good.dump()]) == [good]
    assert [points.is_signed(point) for point in parse([*strange, good.dump()])] == [
        False,
        False,
        True,
    ]


def test_a_checkpoint_after_one_that_a_crash_cut_off_is_kept_too(tmp_path: Path):
    whole = Checkpoints(tmp_path, "secret").sign(Head(7, MAC), 12.5)
    with (tmp_path / NAME).open("a") as file:
        file.write(whole.dump()[:50])
    after = Checkpoints(tmp_path, "secret").sign(Head(9, MAC), 13.5)
    assert list(Checkpoints(tmp_path, "secret").kept) == [whole, after]


def test_a_file_that_was_overwritten_is_no_error(tmp_path: Path):
    (tmp_path / NAME).write_bytes(b"\xff\x00 not a line of JSON\n")
    assert list(Checkpoints(tmp_path, "secret").kept) == []


def test_the_latest_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KEPT", 3)
    points = Checkpoints(tmp_path, "secret")
    for seq in range(1, 6):
        points.sign(Head(seq, MAC), float(seq))
    for found in (points.kept, Checkpoints(tmp_path, "secret").kept):
        assert [point.seq for point in found] == [3, 4, 5]


def test_a_checkpoint_is_a_line_of_json():
    point = Checkpoint(7, MAC, 12.5, "00")
    assert json.loads(point.dump()) == {"seq": 7, "mac": MAC, "time": 12.5, "signature": "00"}
