"""TensorBoard event files."""

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import (
    SCALARS,
    TENSORS,
    EventAccumulator,
)
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.event_file_writer import EventFileWriter

import tarslab as tl
from tarslab import bundled
from tarslab.errors import BadLog
from tarslab.runs.formats import parallel, tfevents
from tarslab.runs.formats.tfevents import frames, kernels, reading
from tarslab.runs.formats.tfevents.events import MALFORMED, EventReader
from tarslab.runs.recording import Recording, Series
from tarslab.runs.vocabulary import metric_order, translate

Read = Callable[[list[Path]], Recording]

WAYS: dict[str, dict[str, Any]] = {
    "gathered": {},
    "scanned": {"compiled": True},
    "scanned in halves": {"compiled": True, "split": True},
}

RECORDED = sorted(bundled.data("").glob("**/events.out.tfevents.*"))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces and two halves of any file."""
    monkeypatch.setattr(reading, "PIECE", 2_000)
    monkeypatch.setattr(reading, "SPLIT_PAYS", 1)
    monkeypatch.setattr(reading, "cores", lambda: 2)


@pytest.fixture(params=WAYS)
def read(request: pytest.FixtureRequest) -> Read:
    """Every way to read event files; all give the same."""
    return lambda paths: tfevents.read(paths, partial(reading.read_file, **WAYS[request.param]))


def accumulated(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """What TensorBoard's own reader makes of a folder."""
    reader = EventAccumulator(str(folder), size_guidance={SCALARS: 0, TENSORS: 0})
    reader.Reload()
    scalars = {
        tag: [(e.step, e.wall_time, e.value) for e in reader.Scalars(tag)]
        for tag in reader.Tags()[SCALARS]
    }
    tensors = {
        tag: [
            (e.step, e.wall_time, float(np.frombuffer(e.tensor_proto.tensor_content, "<f4")[0]))
            if e.tensor_proto.tensor_content
            else (e.step, e.wall_time, float(e.tensor_proto.float_val[0]))
            for e in reader.Tensors(tag)
        ]
        for tag in reader.Tags()[TENSORS]
    }
    return scalars | tensors


@pytest.mark.parametrize("path", RECORDED[::5], ids=lambda path: path.parent.as_posix()[-24:])
def test_recorded_files_read_as_tensorboard_reads_them(read: Read, path: Path) -> None:
    recording = read([path])
    assert recording.warnings == []
    mine = {
        tag: list(zip(*(column.tolist() for column in series), strict=True))
        for tag, series in recording.series.items()
    }
    assert mine == accumulated(path.parent)


def test_tensor_scalars_read_as_tensorboard_reads_them(read: Read, tmp_path, write_events) -> None:
    write_events(tmp_path, [("loss", step, step / 7) for step in range(50)], tensors=np.float32)
    series = read(list(tmp_path.iterdir())).series["loss"]
    theirs = accumulated(tmp_path)["loss"]
    assert list(zip(*(column.tolist() for column in series), strict=True)) == theirs


@pytest.mark.parametrize(
    "kind",
    [
        *(np.float16, np.float32, np.float64, np.bool_),
        *(np.int8, np.int16, np.int32, np.int64),
        *(np.uint8, np.uint16, np.uint32, np.uint64),
    ],
)
@pytest.mark.parametrize("value", [0, 1])
def test_tensors_of_every_numeric_type_are_read(
    read: Read, tmp_path, write_events, kind, value
) -> None:
    path = write_events(tmp_path, [("x", 3, value)], tensors=kind)
    series = read([path]).series["x"]
    assert (series.step.tolist(), series.value.tolist()) == ([3], [float(value)])


def test_negative_numbers_survive_in_signed_types(read: Read, tmp_path, write_events) -> None:
    for number, kind in enumerate((np.int8, np.int16, np.int32, np.int64, np.float16)):
        path = write_events(tmp_path / str(number), [("x", -5, -7)], tensors=kind)
        series = read([path]).series["x"]
        assert (series.step.tolist(), series.value.tolist()) == ([-5], [-7.0])


def test_tensors_of_other_plugins_are_no_scalars(read: Read, tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", 0, 1.0)], tensors=np.float32, plugin="histograms")
    assert read([path]).series == {}


def test_not_a_number_and_infinity_are_kept(read: Read, tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", 0, np.nan), ("x", 1, np.inf), ("x", 2, -np.inf)])
    np.testing.assert_array_equal(read([path]).series["x"].value, [np.nan, np.inf, -np.inf])


def test_several_files_are_put_in_order_of_time_and_not_of_name(
    read: Read, tmp_path, write_events
) -> None:
    late = write_events(tmp_path, [("x", 2, 2.0)], name="a.tfevents", start=2000.0)
    early = write_events(tmp_path, [("x", 1, 1.0)], name="b.tfevents", start=1000.0)
    assert read([late, early]).series["x"].step.tolist() == [1, 2]


def test_hyperparameters_come_from_cleanrls_text_table(read: Read, tmp_path) -> None:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto

    text = "|param|value|\n|-|-|\n|env_id|CartPole-v1|\n|seed|3|\n|exp_name|dqn|"
    about = SummaryMetadata.PluginData(plugin_name="text")
    entry = Summary.Value(
        tag="hyperparameters/text_summary",
        tensor=make_tensor_proto([text.encode()], shape=[1]),
        metadata=SummaryMetadata(plugin_data=about),
    )
    writer = EventFileWriter(str(tmp_path))
    writer.add_event(Event(wall_time=1.0, summary=Summary(value=[entry])))
    writer.close()
    recording = read(list(tmp_path.iterdir()))
    stated = {"env_id": "CartPole-v1", "seed": 3, "exp_name": "dqn"}
    assert recording.config == {"algo": "dqn", **stated}
    assert recording.series == {}


def test_an_empty_file_is_named_in_a_warning(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.touch()
    (warning,) = read([path]).warnings
    assert str(path) in warning
    assert "empty" in warning


def test_a_cut_last_record_costs_only_itself_and_is_named_with_its_byte(
    read: Read, tmp_path, write_events
) -> None:
    path = write_events(tmp_path, [("x", step, float(step)) for step in range(10)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    recording = read([path])
    assert recording.series["x"].step.tolist() == list(range(9))
    (warning,) = recording.warnings
    # Every record of one tag and a one-byte step is as long as the last.
    record = len(whole) - int(warning.split("at byte ")[1].split()[0])
    assert str(path) in warning
    assert 30 < record < 60


def test_a_failed_checksum_ends_the_file_there(read: Read, tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", step, float(step)) for step in range(10)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    recording = read([path])
    steps = recording.series["x"].step.tolist()
    assert steps == list(range(len(steps)))
    assert 0 < len(steps) < 10
    assert "checksum" in recording.warnings[0]


def test_sound_frames_without_events_are_named(read: Read, tmp_path: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = tmp_path / "x.tfevents"
    with path.open("wb") as file:
        RecordWriter(file).write(b"\x0f\xff\xff")
    (warning,) = read([path]).warnings
    assert "not a TensorBoard event" in warning


def test_a_data_set_of_examples_is_no_event_file() -> None:
    length = (5).to_bytes(8, "little")
    example = length + frames.masked_crc(length) + b"\x0a\x03abc"
    assert not tfevents.matches(Path("train.tfrecord"), example)
    assert tfevents.matches(Path("anything"), RECORDED[0].read_bytes()[:64])


def test_an_event_file_whose_first_record_is_damaged_is_still_one(tmp_path: Path) -> None:
    damaged = bytearray(RECORDED[0].read_bytes())
    damaged[12] ^= 1
    assert tfevents.matches(Path("events.out.tfevents.1"), bytes(damaged))
    assert not tfevents.matches(Path("events.out.tfevents.1.csv"), b"step,reward\n1,2\n")


REAL = RECORDED[0].read_bytes()[:20_000]


def record_starts() -> list[int]:
    starts = [0]
    while (after := starts[-1] + 16 + int.from_bytes(REAL[starts[-1] :][:8], "little")) < len(REAL):
        starts.append(after)
    return starts


STARTS = record_starts()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_cut_and_flipped_files_give_every_record_before_the_damage_and_a_warning(
    read: Read, tmp_path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(REAL[: data.draw(st.integers(1, len(REAL)), "cut at")])
    for _ in range(data.draw(st.integers(0, 3), "flips")):
        place = data.draw(st.integers(0, len(damaged) - 1), "place")
        damaged[place] ^= data.draw(st.integers(1, 255), "flip")
    path = tmp_path / "events.out.tfevents.damaged"
    path.write_bytes(damaged)

    pairs = enumerate(zip(damaged, REAL, strict=False))
    first_difference = next((i for i, (a, b) in pairs if a != b), len(damaged))
    whole = max(start for start in STARTS if start <= first_difference)
    sound_file = tmp_path / "sound"
    sound_file.write_bytes(REAL[:whole])
    expected = read([sound_file]).series if whole else {}

    recording = read([path])
    assert recording.series.keys() == expected.keys()
    for tag, series in expected.items():
        for mine, sound in zip(recording.series[tag], series, strict=True):
            np.testing.assert_array_equal(mine, sound)
    if not expected:
        with pytest.raises(BadLog, match=re.escape(str(tmp_path))):
            tl.load(path)
        return
    with warnings.catch_warnings(record=True, action="always") as caught:
        loaded = tl.load(path)
    assert len(loaded.scalars) == sum(len(series.step) for series in expected.values())
    assert len(caught) == (whole != len(damaged))


TAGS = st.sampled_from(["x", "train/loss", "", "a" * 40, "b" * 200, "ünï", "hyperparameters"])
SIMPLE = st.floats(width=32).map(lambda number: {"simple_value": number})
NUMERIC = st.sampled_from([np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, bool])


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Any]:
    from tensorboard.util.tensor_util import make_tensor_proto

    kind = draw(NUMERIC)
    shape = draw(st.sampled_from([(), (), (), (1,), (2,), (1, 1), (0,)]))
    if draw(st.integers(0, 4)) == 0:
        return {"tensor": make_tensor_proto([b"|a|b|"], shape=[1])}
    numbers = np.full(shape, draw(st.integers(0, 9))).astype(kind)
    proto = make_tensor_proto(numbers)
    if draw(st.booleans()):
        # Some writers put the bytes as they are, others each number into a field of its type.
        proto.tensor_content = numbers.tobytes()
    return {"tensor": proto}


@st.composite
def events(draw: st.DrawFn) -> bytes:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    event = Event(wall_time=draw(st.floats(0, 2e9)), step=draw(st.integers(-(2**63), 2**63 - 1)))
    if draw(st.integers(0, 6)) == 0:
        event.file_version = "brain.Event:2"
    for _ in range(0 if event.file_version else draw(st.sampled_from([0, 1, 1, 1, 3]))):
        value = Summary.Value(tag=draw(TAGS), **draw(SIMPLE | tensors()))
        if draw(st.integers(0, 3)) == 0:
            plugin = draw(st.sampled_from(["scalars", "text", "histograms", ""]))
            value.metadata.CopyFrom(
                SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
            )
        event.summary.value.append(value)
    return bytes(event.SerializeToString())


def framed(event: bytes) -> bytes:
    length = len(event).to_bytes(8, "little")
    return length + frames.masked_crc(length) + event + frames.masked_crc(event)


def test_the_shortest_values_fit_into_the_rows_that_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    event = Event(wall_time=1.0, step=1)
    for _ in range(1_980):
        event.summary.value.add().tensor.CopyFrom(TensorProto())
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(3 * framed(event.SerializeToString()))
    ends: list[int] = []
    parse = kernels.parse

    def counted(*given: Any) -> Any:
        found = parse(*given)
        odd, tags = given[-1], given[-5]
        # The compiled loop checks no bounds.
        assert found[0] <= len(tags)
        assert found[0] - given[2] <= len(odd)
        ends.append(found[0])
        return found

    monkeypatch.setattr(kernels, "parse", counted)
    assert tfevents.read([path], partial(reading.read_file, compiled=True)).series == {}
    assert max(ends) >= 1_980


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(events() | st.binary(max_size=20), max_size=25), st.integers(0, 30))
def test_every_way_of_reading_gives_what_reading_event_by_event_gives(
    tmp_path: Path, records: list[bytes], cut: int
) -> None:
    path = tmp_path / "events.out.tfevents.1"
    ends = np.cumsum([0, *(len(framed(record)) for record in records)])
    size = max(0, ends[-1] - cut)
    path.write_bytes(b"".join(map(framed, records))[:size])
    whole = int(np.searchsorted(ends, size, side="right")) - 1

    one_by_one = EventReader()
    expected: dict[str, list[tuple[int, float, float]]] = {}
    sound = True
    for record in records[:whole]:
        try:
            wall_time, step, scalars = one_by_one.scalars(record)
        except MALFORMED:
            sound = False
            break
        for name, value in scalars:
            expected.setdefault(name.decode(), []).append((step, wall_time, value))

    for way in WAYS.values():
        recording = tfevents.read([path], partial(reading.read_file, **way))
        assert recording.config == one_by_one.config
        assert recording.series.keys() == expected.keys()
        for tag, rows in expected.items():
            np.testing.assert_array_equal(np.array(recording.series[tag]).T, np.array(rows))
        assert bool(recording.warnings) == (not sound or size == 0 or size > ends[whole])
        if not sound:
            assert "not a TensorBoard event" in recording.warnings[0]


def test_thousands_of_tags_have_room(tmp_path, write_events, read) -> None:
    rows = [(f"weights/layer_{tag}/{'norm' * 20}", 0, float(tag)) for tag in range(3_000)]
    recording = read([write_events(tmp_path, rows)])
    assert len(recording.series) == 3_000
    assert all(recording.series[tag].value.tolist() == [value] for tag, _, value in rows)


def test_an_image_larger_than_a_piece_is_passed_over(tmp_path, read) -> None:
    from tensorboard.compat.proto.summary_pb2 import Summary

    picture = Summary.Image(encoded_image_string=bytes(300_000))
    values = [
        Summary(value=[Summary.Value(tag="x", simple_value=1.0)]),
        Summary(value=[Summary.Value(tag="picture", image=picture)]),
        Summary(value=[Summary.Value(tag="x", simple_value=2.0)]),
    ]
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join(framed(Event(summary=value).SerializeToString()) for value in values))
    recording = read([path])
    assert recording.warnings == []
    assert {tag: series.value.tolist() for tag, series in recording.series.items()} == {
        "x": [1.0, 2.0]
    }


def test_event_files_within_a_record_are_not_taken_for_the_other_half(tmp_path, read) -> None:
    inner = b"".join(
        framed(Event(step=step, wall_time=1.0).SerializeToString()) for step in range(500)
    )
    outer = Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString()
    # Field 4 of an Event, graph_def, holds any bytes.
    graph = b"\x22" + varint(len(inner)) + inner
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(framed(outer) + framed(graph) + REAL[: STARTS[20]])
    recording = read([path])
    assert recording.warnings == []
    (tmp_path / "real").write_bytes(REAL[: STARTS[20]])
    expected = tfevents.read([tmp_path / "real"]).series
    assert {tag: s.value.tolist() for tag, s in recording.series.items()} == {
        tag: s.value.tolist() for tag, s in expected.items()
    }


def varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def test_small_logs_load_before_numba_has_been_imported(tmp_path, write_events) -> None:
    write_events(tmp_path, [("x", step, 1.0) for step in range(100)])
    program = (
        "import sys, tarslab; tarslab.load(sys.argv[1]); "
        "print([m for m in ('numba', 'llvmlite') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_large_logs_are_read_by_the_compiled_pass(monkeypatch) -> None:
    from tarslab.runs.formats.tfevents import scanning

    monkeypatch.setattr(tfevents, "COMPILED_PAYS", 1)
    fed: list[int] = []
    feed = scanning.Scanner.feed

    def noted(scanner: scanning.Scanner, data: NDArray[np.uint8]) -> tuple[int, str | None]:
        fed.append(len(data))
        return feed(scanner, data)

    monkeypatch.setattr(scanning.Scanner, "feed", noted)
    ((recording,),) = tfevents.read_all([[RECORDED[0]]])
    assert recording.series
    assert sum(fed) >= RECORDED[0].stat().st_size


@pytest.fixture
def read_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of any size share memory, and two threads read them."""
    monkeypatch.setattr(tfevents, "COMPILED_PAYS", 1)
    monkeypatch.setattr(tfevents, "TURNS_PAY", 1)
    monkeypatch.setattr(parallel, "cores", lambda: 2)


@pytest.mark.usefixtures("read_in_turn")
def test_large_runs_lie_one_after_the_other_and_need_not_be_copied() -> None:
    read_all = tfevents.read_all([[path] for path in RECORDED])
    recordings = [recording for (recording,) in read_all]
    for path, recording in zip(RECORDED, recordings, strict=True):
        assert_same(recording, tfevents.read([path]))
    metrics = [translate(frozenset(recording.series)) for recording in recordings]
    every = [
        recording.series[tag]
        for recording, names in zip(recordings, metrics, strict=True)
        for tag in sorted(recording.series, key=lambda tag: metric_order(names[tag][0]))
    ]
    assert np.shares_memory(Series.joined(every, copy=False).value, every[0].value)


@pytest.mark.usefixtures("read_in_turn")
def test_a_run_that_is_gone_or_has_no_or_many_files_takes_its_turn(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    homes = [[path] for path in RECORDED[:6]]
    homes[1:1] = [[tmp_path / "gone"], [tmp_path / "empty"], RECORDED[6:9]]
    for paths, (recording,) in zip(homes, tfevents.read_all(homes), strict=True):
        assert_same(recording, tfevents.read(paths))


@pytest.mark.usefixtures("read_in_turn")
def test_runs_with_more_rows_than_was_thought_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BYTES_A_SCALAR", 1_000_000)
    homes = [[path] for path in RECORDED]
    for paths, (recording,) in zip(homes, tfevents.read_all(homes), strict=True):
        assert_same(recording, tfevents.read(paths))


def assert_same(one: Recording, other: Recording) -> None:
    assert one.warnings == other.warnings
    assert list(one.series) == list(other.series)
    for tag, series in one.series.items():
        for column, expected in zip(series, other.series[tag], strict=True):
            np.testing.assert_array_equal(column, expected)
