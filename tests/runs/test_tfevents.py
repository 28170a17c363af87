"""TensorBoard event files."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from tarslab.runs.formats import tfevents

RECORDED = sorted(bundled.data("").glob("**/events.out.tfevents.*"))


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
def test_recorded_files_read_as_tensorboard_reads_them(path: Path) -> None:
    recording = tfevents.read([path])
    assert recording.warnings == []
    mine = {
        tag: list(zip(*(column.tolist() for column in series), strict=True))
        for tag, series in recording.series.items()
    }
    assert mine == accumulated(path.parent)


def test_tensor_scalars_read_as_tensorboard_reads_them(tmp_path, write_events) -> None:
    write_events(tmp_path, [("loss", step, step / 7) for step in range(50)], tensors=np.float32)
    series = tfevents.read(list(tmp_path.iterdir())).series["loss"]
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
def test_tensors_of_every_numeric_type_are_read(tmp_path, write_events, kind, value) -> None:
    path = write_events(tmp_path, [("x", 3, value)], tensors=kind)
    series = tfevents.read([path]).series["x"]
    assert (series.step.tolist(), series.value.tolist()) == ([3], [float(value)])


def test_negative_numbers_survive_in_signed_types(tmp_path, write_events) -> None:
    for number, kind in enumerate((np.int8, np.int16, np.int32, np.int64, np.float16)):
        path = write_events(tmp_path / str(number), [("x", -5, -7)], tensors=kind)
        series = tfevents.read([path]).series["x"]
        assert (series.step.tolist(), series.value.tolist()) == ([-5], [-7.0])


def test_tensors_of_other_plugins_are_no_scalars(tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", 0, 1.0)], tensors=np.float32, plugin="histograms")
    assert tfevents.read([path]).series == {}


def test_not_a_number_and_infinity_are_kept(tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", 0, np.nan), ("x", 1, np.inf), ("x", 2, -np.inf)])
    np.testing.assert_array_equal(
        tfevents.read([path]).series["x"].value, [np.nan, np.inf, -np.inf]
    )


def test_several_files_are_put_in_order_of_time_and_not_of_name(tmp_path, write_events) -> None:
    late = write_events(tmp_path, [("x", 2, 2.0)], name="a.tfevents", start=2000.0)
    early = write_events(tmp_path, [("x", 1, 1.0)], name="b.tfevents", start=1000.0)
    assert tfevents.read([late, early]).series["x"].step.tolist() == [1, 2]


def test_hyperparameters_come_from_cleanrls_text_table(tmp_path) -> None:
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
    recording = tfevents.read(list(tmp_path.iterdir()))
    stated = {"env_id": "CartPole-v1", "seed": 3, "exp_name": "dqn"}
    assert recording.config == {"algo": "dqn", **stated}
    assert recording.series == {}


def test_an_empty_file_is_named_in_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.touch()
    (warning,) = tfevents.read([path]).warnings
    assert str(path) in warning
    assert "empty" in warning


def test_a_cut_last_record_costs_only_itself_and_is_named_with_its_byte(
    tmp_path, write_events
) -> None:
    path = write_events(tmp_path, [("x", step, float(step)) for step in range(10)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    recording = tfevents.read([path])
    assert recording.series["x"].step.tolist() == list(range(9))
    (warning,) = recording.warnings
    # Every record of one tag and a one-byte step is as long as the last.
    record = len(whole) - int(warning.split("at byte ")[1].split()[0])
    assert str(path) in warning
    assert 30 < record < 60


def test_a_failed_checksum_ends_the_file_there(tmp_path, write_events) -> None:
    path = write_events(tmp_path, [("x", step, float(step)) for step in range(10)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    recording = tfevents.read([path])
    steps = recording.series["x"].step.tolist()
    assert steps == list(range(len(steps)))
    assert 0 < len(steps) < 10
    assert "checksum" in recording.warnings[0]


def test_sound_frames_without_events_are_named(tmp_path: Path) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = tmp_path / "x.tfevents"
    with path.open("wb") as file:
        RecordWriter(file).write(b"\x0f\xff\xff")
    (warning,) = tfevents.read([path]).warnings
    assert "not a TensorBoard event" in warning


def test_a_data_set_of_examples_is_no_event_file() -> None:
    from tarslab.runs.formats.tfevents import _masked_crc

    length = (5).to_bytes(8, "little")
    example = length + _masked_crc(length) + b"\x0a\x03abc"
    assert not tfevents.matches(Path("train.tfrecord"), example)
    assert tfevents.matches(Path("anything"), RECORDED[0].read_bytes()[:64])


def test_an_event_file_whose_first_record_is_damaged_is_still_one(tmp_path: Path) -> None:
    damaged = bytearray(RECORDED[0].read_bytes())
    damaged[12] ^= 1
    assert tfevents.matches(Path("events.out.tfevents.1"), bytes(damaged))
    assert not tfevents.matches(Path("events.out.tfevents.1.csv"), b"step,reward\n1,2\n")


REAL = RECORDED[0].read_bytes()


def record_starts() -> list[int]:
    starts, position = [], 0
    while position < len(REAL):
        starts.append(position)
        position += 16 + int.from_bytes(REAL[position : position + 8], "little")
    return [*starts, len(REAL)]


STARTS = record_starts()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_cut_and_flipped_files_give_every_record_before_the_damage_and_a_warning(
    tmp_path: Path, data: st.DataObject
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
    expected = tfevents.read([sound_file]).series if whole else {}

    recording = tfevents.read([path])
    assert recording.series.keys() == expected.keys()
    for tag, series in expected.items():
        for mine, sound in zip(recording.series[tag], series, strict=True):
            np.testing.assert_array_equal(mine, sound)
    if not expected:
        with pytest.raises(BadLog, match=re.escape(str(path))):
            tl.load(path)
        return
    with warnings.catch_warnings(record=True, action="always") as caught:
        loaded = tl.load(path)
    assert len(loaded.scalars) == sum(len(series.step) for series in expected.values())
    assert len(caught) == (whole != len(damaged))
