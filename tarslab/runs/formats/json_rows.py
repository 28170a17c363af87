"""Rows of JSON objects as columns, decoded with types that are made for the keys in them.

A tag is the path of keys to a value, joined by ``/``. Each level of the objects becomes a msgspec
``Struct`` with just the keys that are to be read; what lies between is skipped without making an
object of it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.json import Decoder
from numpy.typing import NDArray

from tarslab.runs.formats.columns import Column, numbers
from tarslab.runs.identity import printable
from tarslab.runs.vocabulary import MODULE, NO_MODULE

# A level of the objects: what stands below each key that was seen, None below a value. Where the
# vocabulary's <module> stands too, below it is what stands below each module that will be seen.
Tree = dict[str, Any]
SKIPPED = "skipped"
"""Below a key of which nothing is read."""

FrozenTree = tuple[tuple[str, Any], ...]
Values = Sequence[Any] | NDArray[Any]

# JSON has no NaN, and Python writes it all the same. Before msgspec sees it, it becomes a text of
# as many bytes, and NaN again in the columns.
NAN_TEXT = "N"
BEFORE_VALUE = np.isin(np.arange(256), [*b"[:, \t"])
AFTER_VALUE = np.isin(np.arange(256), [*b",]} \t\r\n"])
INFINITY = re.compile(rb"(?<=[\[:,\s])-?Infinity(?=[,\]}\s])")


def grow(tree: Tree, one: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
    """Let a tree have all keys of an object; of its ``skipped`` ones nothing will be read."""
    for key, value in one.items():
        if key in skipped:
            tree[key] = SKIPPED
        elif value is None:
            tree.setdefault(key, None)
        elif not isinstance(value, dict):
            # A list of objects is decoded as one value, and taken apart then.
            tree[key] = None
        elif isinstance(tree.setdefault(key, {}), dict):
            grow(tree[key], value)


def grow_chosen(
    tree: Tree, one: Mapping[str, Any], wanted: Collection[str], besides: Collection[str]
) -> None:
    """Let a tree have the outermost keys of an object, and below them the wanted tags.

    ``besides`` are tags that are to be read as well.
    """
    for key, value in one.items():
        if key not in tree:
            above = f"{key}/"
            tags = (tag for tag in chain(wanted, besides) if tag.startswith(above))
            below = [tag.removeprefix(above) for tag in tags]
            is_value = key in wanted or key in besides
            tree[key] = None if is_value else _planted(below) if below else SKIPPED
        if isinstance(tree[key], dict) and value is not None:
            if isinstance(value, dict):
                _see_modules(tree[key], value)
            else:
                # What is a value here and an object there is taken apart when it is decoded.
                tree[key] = None


def frozen(tree: Mapping[str, Any]) -> FrozenTree:
    """The tree in a form that can be a key."""
    return tuple(
        (key, frozen(below) if isinstance(below, dict) else below) for key, below in tree.items()
    )


class Schema:
    """What is read of every object: all in a tree, whose outermost keys are all that there are.

    ``lax`` where inner objects may have keys, but not of modules, that are not in the tree.
    """

    def __init__(self, tree: FrozenTree, lax: bool) -> None:
        self._level = _level(tree, False, lax)
        self._decoder = _decoder(self._level.type)

    def decode(self, buffer: bytearray, size: int) -> tuple[int, dict[str, Values]]:
        """Of the lines that a buffer begins with, how many they are, and by tag the value of each,
        None where it has none; the buffer is changed.

        Raises ValueError where a line is no object, or has a key that is not in the tree, an object
        for a value or a value for an object.
        """
        decode, lines = self._decoder.decode_lines, memoryview(buffer)[:size]
        try:
            rows = decode(lines)
        except ValueError:
            rows = self._rows_with_nan(buffer, size)
            columns = by_tag(_values(rows, self._level))
            return len(rows), {tag: _with_nan(values) for tag, values in columns.items()}
        return len(rows), by_tag(_values(rows, self._level))

    def _rows_with_nan(self, buffer: bytearray, size: int) -> list[Any]:
        decode, lines = self._decoder.decode_lines, memoryview(buffer)[:size]
        _replace_nan(buffer, size)
        try:
            return decode(lines)
        except ValueError:
            return decode(INFINITY.sub(rb'"\g<0>"', bytes(lines)))


def by_tag(found: Iterable[tuple[str, Values]]) -> dict[str, Values]:
    """Columns by their tags; one may have two spellings, {"a/b": 1} and {"a": {"b": 1}}."""
    columns: dict[str, Values] = {}
    for tag, values in found:
        other = columns.setdefault(tag, values)
        if other is not values:
            pairs = zip(other, values, strict=True)
            columns[tag] = [two if one is None else one for one, two in pairs]
    return columns


def mixed_values(found: Values, tag: str) -> Iterator[tuple[str, Values]]:
    """The values under a tag that is an object or a list of them in some rows."""
    columns: dict[str, list[Any]] = {}
    for row, one in enumerate(found):
        for name, value in taken_apart({tag: one}, skipped=""):
            columns.setdefault(name, [None] * len(found))[row] = value
    yield from columns.items()


def taken_apart(one: Mapping[str, Any], skipped: str, above: str = "") -> Iterator[tuple[str, Any]]:
    """Tag and value of all in an object that may be a metric, or words that tell of the run.

    An object in a list has its place as its key; ``skipped`` is the tag of an object to leave out.
    """
    for key, value in one.items():
        tag = f"{above}{key}"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(place): below for place, below in enumerate(value)}
        if isinstance(value, dict):
            if tag != skipped:
                yield from taken_apart(value, skipped, f"{tag}/")
        elif not isinstance(value, list) and value is not None:
            yield tag, value


def column(values: Values) -> Column | None:
    """Values as a column; None where there is neither a number nor text among them."""
    if isinstance(values, np.ndarray):
        return Column(values.astype(np.float64, copy=False))
    kinds = set(map(type, values))
    if str in kinds:
        texts = values if kinds <= {str, NoneType} else [_text(value) for value in values]
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        cells = pa.array([_text(text) for text in places], pa.large_string())
        return Column(*numbers(cells), cells).take(np.array([places[text] for text in texts]))
    if kinds <= {int, float}:
        return Column(_numbers(values))
    values = [value if type(value) in (int, float) else None for value in values]
    numeric = np.array([value is not None for value in values])
    return Column(_numbers(values), numeric) if numeric.any() else None


def _planted(tags: Sequence[str]) -> Tree:
    """The keys of tags; of objects in a list the keys up to the list."""
    tree: Tree = {}
    for tag in tags:
        parts = tag.split("/")
        place = next((n for n, part in enumerate(parts) if part.isdigit()), len(parts))
        level = tree
        for part in parts[: place - 1]:
            level = level.setdefault(part, {}) if level.get(part, {}) is not None else {}
        level[parts[max(place - 1, 0)]] = None
    return tree


def _see_modules(tree: Tree, one: Mapping[str, Any]) -> None:
    """Let a tree have the modules of an object, on each level that may have any."""
    of_any = tree.get(MODULE)
    for key, value in one.items():
        if of_any is not None:
            known = tree.get(key, {})
            if isinstance(value, dict) and key != NO_MODULE and isinstance(known, dict):
                tree[key] = known | of_any
            else:
                tree.setdefault(key, SKIPPED)
        elif isinstance(value, dict) and isinstance(tree.get(key), dict):
            _see_modules(tree[key], value)


class _Level(NamedTuple):
    """One level of the objects, as a msgspec type."""

    type: Any
    empty: Any
    """What stands for the level where a row has none."""
    fields: "tuple[tuple[str, _Level | None], ...]"
    """Key and what is below, of what is read."""
    values: Callable[[Any], Any]
    """Of a row what it has in the fields, as a tuple where there are several."""


@lru_cache(maxsize=256)
def _level(tree: FrozenTree, lax: bool, lax_below: bool) -> _Level:
    keys = dict(tree)
    of_modules = keys.pop(MODULE, None) is not None
    names, fields, definitions = [], [], []
    for number, (key, below) in enumerate(keys.items()):
        name = f"f{number}"
        level = _level(below, lax_below, lax_below) if isinstance(below, tuple) else None
        kind: Any = msgspec.Raw if below == SKIPPED else Any if level is None else level.type | None
        definitions.append((name, kind, None))
        if below != SKIPPED:
            names.append(name)
            fields.append((key, level))
    row = msgspec.defstruct(
        "Row",
        definitions,
        rename={f"f{number}": key for number, key in enumerate(keys)},
        forbid_unknown_fields=of_modules or not lax,
        # Rows form no cycles.
        gc=False,
    )
    return _Level(row, row(), tuple(fields), attrgetter(*names) if names else bool)


@lru_cache(maxsize=64)
def _decoder(row: Any) -> Decoder[Any]:
    return Decoder(row)


def _values(rows: Sequence[Any], level: _Level, above: str = "") -> Iterator[tuple[str, Values]]:
    """Tag and value of every row, for all tags of a level that any row has."""
    of_rows = map(level.values, rows)
    of_fields = zip(*of_rows, strict=True) if len(level.fields) > 1 else (tuple(of_rows),)
    for (key, below), found in zip(level.fields, of_fields, strict=False):
        missing = found.count(None)
        if missing == len(found):
            continue
        if below is not None:
            here = [one or below.empty for one in found] if missing else found
            yield from _values(here, below, f"{above}{key}/")
            continue
        if set(map(type, found)) & {dict, list}:
            yield from mixed_values(found, f"{above}{key}")
        else:
            yield f"{above}{key}", found


def _with_nan(values: Values) -> Values:
    if NAN_TEXT not in values:
        return values
    return [np.nan if value == NAN_TEXT else value for value in values]


def _replace_nan(buffer: bytearray, size: int) -> None:
    """Put ``NAN_TEXT`` in place of NaN in a buffer; ValueError where it stands there already.

    In a text the quotes end it before a letter, which is no JSON any more.
    """
    quote, n, a = b'"Na'
    places = []
    place = buffer.find(n, 1, size - 3)
    while place >= 0:
        places.append(place)
        place = buffer.find(n, place + 3, size - 3)
    text, at = np.frombuffer(buffer, dtype=np.uint8), np.array(places, dtype=np.intp)
    before, after = text[at - 1], text[at + 1]
    if np.any((before == quote) & (after == quote)):
        raise ValueError
    is_nan = (after == a) & (text[at + 2] == n) & BEFORE_VALUE[before] & AFTER_VALUE[text[at + 3]]
    for offset, byte in enumerate((quote, n, quote)):
        text[at[is_nan] + offset] = byte


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    """Numbers as an array; None becomes NaN."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        # Python's float() refuses the integers that are beyond it.
        return np.array([v if v is None else float(str(v)) for v in values], dtype=np.float64)


def _text(value: Any) -> str:
    """A cell as text, '' where it is neither text nor a number."""
    if isinstance(value, str):
        return printable(value.strip())
    return repr(value) if type(value) in (int, float) else ""
