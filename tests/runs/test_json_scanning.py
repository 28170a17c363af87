"""The compiled loops over JSON lines, against Python's json and against the way without them."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tarslab.errors import BadLog
from tarslab.runs.formats import json_lines, json_scanning
from tarslab.runs.formats.json_rows import SKIPPED, Tree, Values, frozen
from tarslab.runs.formats.json_scanning import PADDING, Scanner
from tarslab.runs.vocabulary import MODULE

TREE = {"step": None, "x": None, "other": SKIPPED, "in": {"y": None, "deep": {"z": None}}}


def scanned(text: str, tree: Tree = TREE, lax: bool = True) -> tuple[int, dict[str, Values]] | None:
    data = text.encode()
    return Scanner(frozen(tree), lax).decode(bytearray(data) + bytes(PADDING), len(data))


def cells(text: str, tree: Tree = TREE) -> dict[str, list[Any]]:
    found = scanned(text, tree)
    assert found is not None
    return {tag: [*values] for tag, values in found[1].items()}


def test_what_is_wanted_is_found_on_every_level_in_any_order() -> None:
    assert cells(
        '{"step": 1, "x": 1.5, "other": {"x": [7, {"y": "}"}]}, "in": {"y": 2, "more": 3}}\n'
        '{"in":{"deep":{"z":-4e2},"y":null},"x":null,"step":2}\r\n'
        '\n{ "x" : "word" ,\t"in": null, "step": 3 }'
    ) == {
        "step": [1, 2, 3],
        "x": [1.5, None, "word"],
        "in/y": [2, None, None],
        "in/deep/z": [None, -400, None],
    }


def test_words_lists_and_objects_are_values_too() -> None:
    values = ['"a b"', '"a b"', "[1, NaN]", '{"k": 1}', '"\\u00e9\\n"', "true", "false", "9" * 30]
    found = cells("".join(f'{{"x": {value}}}\n' for value in values), {"x": None})
    assert found["x"][:2] == ["a b", "a b"]
    assert found["x"][4:] == ["é\n", True, False, 10**30 - 1]
    # The object is taken apart, the list is no metric.
    assert found["x"][2:4] == [None, None]
    assert found["x/k"] == [None, None, None, 1, None, None, None, None]


@pytest.mark.parametrize(
    "line",
    [
        '{"new": 1}',
        '{"step": 1, "step": 2}',
        '{"in": {"y": 1}, "in": {"y": 2}}',
        '{"in": 5}',
        '{"in": [1]}',
        '{"s\\u0074ep": 1}',
        '{"other": "é"}',
        '{"other": "tab\tstop"}',
        '{"other": "\\x"}',
        '{"other": "\\u12g4"}',
        '{"other": nul}',
        '{"other": nullx}',
        '{"other": 01}',
        '{"other": 1.}',
        '{"other": .5}',
        '{"other": +1}',
        '{"other": 1e}',
        '{"other": -}',
        '{"other": -NaN}',
        '{"other": Infinite}',
        '{"other": [1,]}',
        '{"other": [1 2]}',
        '{"other": {"a" 1}}',
        '{"other": {"a": 1,}}',
        '{"other": {a: 1}}',
        '{"other": [1}}',
        '{"other": ' + "[" * 70 + "]" * 70 + "}",
        '{"other": 1,}',
        '{"other": 1',
        '{"other": "1',
        '{"other": 1}}',
        '{"other": 1} {"other": 2}',
        '{"other":\n1}',
        "[1]",
        "1",
    ],
)
def test_what_is_wrong_or_unusual_is_left_to_others(line: str) -> None:
    assert scanned('{"step": 1}\n') is not None
    assert scanned(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n') is None


def test_a_module_that_was_not_seen_is_left_to_others() -> None:
    tree = {"learners": {MODULE: {"loss": None}, "red": {"loss": None}}}
    assert cells('{"learners": {"red": {"loss": 1}}}\n', tree) == {"learners/red/loss": [1]}
    assert scanned('{"learners": {"blue": {"loss": 1}}}\n', tree) is None


NUMBERS = st.one_of(
    st.floats().map(json.dumps),
    st.integers().map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@given(st.lists(NUMBERS, min_size=1))
@example(["-0", "-0.0", "0.0012345678901234567", "9007199254740993", "1e400", "5e-324"])
@example(["1." + "0" * 60, "1." + "0" * 62, "1." + "0" * 64, "1" * 59, "1" * 64, "1" * 70])
def test_numbers_are_those_of_pythons_json(texts: list[str]) -> None:
    found = scanned("".join(f'{{"x": {text}, "other": {text}}}\n' for text in texts))
    if found is None:
        # Only digits that do not fit what is looked at at once.
        assert max(map(len, texts)) > 58
        return
    expected = [json.loads(text) for text in texts]
    assert [*map(_bits, found[1]["x"])] == [*map(_bits, expected)]


def _bits(value: float) -> bytes:
    # Python's float() refuses the integers that are beyond it.
    return struct.pack("d", float(str(value)))


KEYS = st.sampled_from(["step", "x", "other", "in", "y", "deep", "z", "N"])
ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.just("N"),
    lambda below: st.dictionaries(KEYS, below, max_size=4) | st.lists(below, max_size=3),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [*'{}[]",:\\\n\r\t 0-.eN', "NaN", "-Infinity", "null", "1e5", '"x"', '"N"', "é", "\0", "\x7f"]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_the_same_with_the_loops_and_without(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    bodies = data.draw(st.lists(st.dictionaries(KEYS, ANY, max_size=4), min_size=1, max_size=6))
    ascii_only = data.draw(st.booleans())
    lines = [
        json.dumps({"step": n} | body, ensure_ascii=ascii_only) for n, body in enumerate(bodies)
    ]
    text = "\n".join(lines) + data.draw(st.sampled_from(["\n", ""]))
    for _ in range(data.draw(st.integers(0, 2))):
        first = data.draw(st.integers(0, len(text)))
        text = text[:first] + data.draw(PIECES) + text[first + data.draw(st.integers(0, 2)) :]
    path = tmp_path_factory.mktemp("json") / "log.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for wanted in (None, {"x"}, {"in/y", "in/deep/z", "other"}):
        assert _read(path, wanted, True) == _read(path, wanted, False)


def _read(path: Path, wanted: set[str] | None, compiled: bool) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scanning, "pays", lambda size, wanted: compiled)
        try:
            found = json_lines.read([path], wanted)
        except BadLog as error:
            # What columns there are is said of all, or of the wanted alone.
            return [str(error).partition(" among ")[0]]
    return [
        (one.run, one.warnings, one.config, {t: repr(s) for t, s in one.series.items()})
        for one in found
    ]
