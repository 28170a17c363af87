"""The compiled pass over event files: frames, checksums and scalars; and the sort by tag after it.

Types are left to numba, so these functions carry no hints; shapes stand in their docstrings.
"""

# mypy: ignore-errors

import numpy as np

from tarslab.compiled import compiled, float32, float64, word8, word32, word64
from tarslab.runs.formats.tfevents.checksums import masked_crc
from tarslab.runs.formats.tfevents.frames import HEAD, TAIL

# Why a pass ended.
NEEDS_MORE, BAD_LENGTH, BAD_RECORD, BAD_EVENT, TAGS_FULL = 0, 1, 2, 3, 4

# The column of tags holds ODD - tag where the pass cannot read the value.
ODD = -1

# What is known of a tag's plugin.
UNKNOWN, SCALARS, OTHER = 0, 1, 2


@compiled
def varint(data, at, end):
    """The number and the place after it; the place is -1 where it does not end before ``end``."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < np.uint64(64):
        byte = word8(data, at)
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return value, at
        shift += np.uint64(7)
    return value, -1


@compiled
def field(data, at, end):
    """Key of the field at ``at``, its number if it is a varint, start and end of its content.

    The end is -1 where the field is malformed.
    """
    key, at = varint(data, at, end)
    if at < 0:
        return key, key, at, -1
    kind = key & np.uint64(7)
    if kind == np.uint64(0):
        value, after = varint(data, at, end)
        return key, value, at, after
    if kind == np.uint64(2):
        length, at = varint(data, at, end)
        if at < 0 or length > np.uint64(end - at):
            return key, length, at, -1
        return key, length, at, at + np.int64(length)
    if kind == np.uint64(1):
        after = at + 8
    elif kind == np.uint64(5):
        after = at + 4
    else:
        after = -1
    return key, key, at, after if after <= end else -1


@compiled
def names(pool, at, size, data, start, length):
    """Whether the ``size`` bytes at ``at`` of the pool are the ``length`` bytes at ``start`` of the
    data."""
    if size != length:
        return False
    i = 0
    while i + 8 <= length:
        if word64(data, start + i) != word64(pool, at + i):
            return False
        i += 8
    if length >= 8:
        # The last eight, some of them for the second time.
        return word64(data, start + length - 8) == word64(pool, at + length - 8)
    while i < length and word8(data, start + i) == word8(pool, at + i):
        i += 1
    return i == length


@compiled
def intern(data, start, length, previous, pool, offsets, slots, successor):
    """The number of a tag, -1 where the table of tags is full; noted as the one after ``previous``.

    ``offsets`` holds the number of tags in its last place.
    """
    value = np.uint64(0xCBF29CE484222325)
    for i in range(length):
        value = (value ^ word8(data, start + i)) * np.uint64(0x100000001B3)
    mask = np.int64(len(slots) - 1)
    slot = np.int64(value >> np.uint64(20)) & mask
    while slots[slot] >= 0:
        tag = slots[slot]
        at, size = offsets[tag], offsets[tag + 1] - offsets[tag]
        if names(pool.ctypes.data, at, size, data, start, length):
            successor[previous] = tag
            return tag
        slot = (slot + 1) & mask
    tag = offsets[-1]
    if tag + 2 >= len(offsets) or offsets[tag] + length > len(pool):
        return np.int64(-1)
    for i in range(length):
        pool[offsets[tag] + i] = word8(data, start + i)
    offsets[tag + 1] = offsets[tag] + length
    offsets[-1] = tag + 1
    slots[slot] = tag
    successor[previous] = tag
    return tag


@compiled
def plugin_of(data, start, end):
    """SCALARS where a SummaryMetadata names no other plugin, else OTHER; -1 where malformed."""
    while start < end:
        key, _, inner, start = field(data, start, end)
        if start < 0:
            return -1
        if key == np.uint64(0x0A):
            while inner < start:
                key, _, name, inner = field(data, inner, start)
                if inner < 0:
                    return -1
                if key == np.uint64(0x0A):
                    # b"scalars"
                    if (
                        inner - name == 7
                        and word32(data, name) == np.uint64(0x6C616373)
                        and word32(data, name + 3) == np.uint64(0x7372616C)
                    ):
                        return SCALARS
                    return OTHER
    return SCALARS


@compiled
def float_tensor(data, start, end):
    """What a TensorProto is, and its number: 1 where it is a single float; 2 of another type or
    shape, to be looked at in detail; -1 malformed."""
    size, found, number = 0, 0, np.nan
    while start < end:
        key, value, inner, start = field(data, start, end)
        if start < 0:
            return -1, number
        length = start - inner
        if key == np.uint64(0x08):
            size = 4 if value == np.uint64(1) else 8 if value == np.uint64(2) else 0
        elif key == np.uint64(0x12) and length:
            # A scalar's shape has no dimensions.
            return 2, number
        elif (
            (key == np.uint64(0x22) and length)
            or key in (np.uint64(0x2A), np.uint64(0x32))
            or key in (np.uint64(0x2D), np.uint64(0x31))
        ):
            if found or size == 0 or length != size:
                return 2, number
            found = 1
            number = float32(data, inner) if size == 4 else float64(data, inner)
    return 1 if found else 2, number


@compiled
def one_simple_value(data, start, end):
    """The step, where the tag begins, and its length, in an event of wall time, step and one simple
    value in this order, as all writers of scalars but TensorFlow 2 put them; the length is -1 for
    others.
    """
    step = np.uint64(0)
    if end - start < 20 or word8(data, start) != np.uint64(0x09):
        return step, start, np.int64(-1)
    at = start + 9
    if word8(data, at) == np.uint64(0x10):
        step, at = varint(data, at + 1, end)
    if at < 0 or end - at < 11:
        return step, start, np.int64(-1)
    # 2a, length of the summary, 0a, length of the value, 0a, length of the tag.
    head = word64(data, at)
    length = np.int64(head >> np.uint64(8) & np.uint64(0xFF))
    if (
        head & np.uint64(0xFF00FF00FF) == np.uint64(0x0A000A002A)
        and length < 0x80
        and at + 2 + length == end
        and np.int64(head >> np.uint64(24) & np.uint64(0xFF)) == length - 2
        and np.int64(head >> np.uint64(40) & np.uint64(0xFF)) == length - 9
        and word8(data, end - 5) == np.uint64(0x15)
    ):
        return step, at + 6, length - 9
    return step, start, np.int64(-1)


@compiled
def parse(
    piece, end, rows, pool, offsets, slots, successor, plugins, tag, step, wall_time, value, odd
):
    """Rows of all whole frames in ``piece[:end]``.

    Fills one place a value in the columns ``tag``, ``step``, ``wall_time`` and ``value``, from the
    place ``rows`` on, where they must have room for ``end // 4``. Of an odd value ``odd``, in which
    the first of these rows has the place 0, holds start (negative where the tag is another
    plugin's) and end of the summary value in ``piece``, the place of its frame, and the first row
    of that. Returns where the rows end, the place that was reached in ``piece``, why it ended
    there, the earliest wall time, and how many values are odd.
    """
    data, names_of_tags = piece.ctypes.data, pool.ctypes.data
    start_row, previous, earliest, odds = rows, len(successor) - 1, np.inf, 0
    position = np.int64(0)
    # No checksum has so many bits.
    last_length, last_checksum = np.uint64(0), np.uint64(1 << 32)
    while True:
        if position + HEAD > end:
            return rows, position, NEEDS_MORE, earliest, odds
        length, checksum = word64(data, position), word32(data, position + 8)
        # Most events are as long as the one before.
        if length != last_length or checksum != last_checksum:
            if masked_crc(data, position, position + 8) != checksum:
                return rows, position, BAD_LENGTH, earliest, odds
            last_length, last_checksum = length, checksum
        if length > np.uint64(end) or position + HEAD + np.int64(length) + TAIL > end:
            return rows, position, NEEDS_MORE, earliest, odds
        start = position + HEAD
        after = start + np.int64(length)
        if masked_crc(data, start, after) != word32(data, after):
            return rows, position, BAD_RECORD, earliest, odds

        number, tag_start, tag_length = one_simple_value(data, start, after)
        if tag_length >= 0:
            # Loggers repeat their tags in one order.
            number_of_tag = successor[previous]
            if number_of_tag < 0 or not names(
                names_of_tags,
                offsets[number_of_tag],
                offsets[number_of_tag + 1] - offsets[number_of_tag],
                data,
                tag_start,
                tag_length,
            ):
                number_of_tag = intern(
                    data, tag_start, tag_length, previous, pool, offsets, slots, successor
                )
                if number_of_tag < 0:
                    return rows, position, TAGS_FULL, earliest, odds
            previous = number_of_tag
            tag[rows], step[rows] = number_of_tag, np.int64(number)
            wall_time[rows], value[rows] = float64(data, start + 1), float32(data, after - 4)
            earliest = min(earliest, wall_time[rows])
            rows += 1
            position = after + TAIL
            continue

        event_wall, event_step, first_row = 0.0, np.int64(0), rows
        at = start
        while at < after:
            key, number, inner, at = field(data, at, after)
            if at < 0:
                return first_row, position, BAD_EVENT, earliest, odds
            if key == np.uint64(0x09):
                event_wall = float64(data, inner)
            elif key == np.uint64(0x10):
                event_step = np.int64(number)
            elif key == np.uint64(0x2A):
                while inner < at:
                    key, _, entry, inner = field(data, inner, at)
                    if inner < 0:
                        return first_row, position, BAD_EVENT, earliest, odds
                    if key != np.uint64(0x0A):
                        continue
                    entry_start = entry
                    tag_start, tag_end, simple, tensor, tensor_end = entry, entry, -1, -1, -1
                    plugin = UNKNOWN
                    while entry < inner:
                        key, _, part, entry = field(data, entry, inner)
                        if entry < 0:
                            return first_row, position, BAD_EVENT, earliest, odds
                        if key == np.uint64(0x0A):
                            tag_start, tag_end = part, entry
                        elif key == np.uint64(0x15):
                            simple = part
                        elif key == np.uint64(0x42):
                            tensor, tensor_end = part, entry
                        elif key == np.uint64(0x4A):
                            plugin = plugin_of(data, part, entry)
                            if plugin < 0:
                                return first_row, position, BAD_EVENT, earliest, odds
                    if simple < 0 and tensor < 0 and plugin == UNKNOWN:
                        continue
                    number_of_tag = intern(
                        data,
                        tag_start,
                        tag_end - tag_start,
                        previous,
                        pool,
                        offsets,
                        slots,
                        successor,
                    )
                    if number_of_tag < 0:
                        return first_row, position, TAGS_FULL, earliest, odds
                    previous = number_of_tag
                    if plugin != UNKNOWN and plugins[number_of_tag] == UNKNOWN:
                        plugins[number_of_tag] = plugin
                    if tensor >= 0:
                        kind, of_tensor = 2, np.nan
                        if plugins[number_of_tag] != OTHER:
                            kind, of_tensor = float_tensor(data, tensor, tensor_end)
                        if kind < 0:
                            return first_row, position, BAD_EVENT, earliest, odds
                        if kind == 2:
                            tag[rows] = ODD - number_of_tag
                            known_other = plugins[number_of_tag] == OTHER
                            odds += 1
                            row = rows - start_row
                            odd[row, 0] = -entry_start if known_other else entry_start
                            odd[row, 1], odd[row, 2] = inner, position
                            odd[row, 3] = first_row - start_row
                        else:
                            tag[rows] = number_of_tag
                            value[rows] = of_tensor
                    elif simple >= 0:
                        tag[rows] = number_of_tag
                        value[rows] = float32(data, simple)
                    else:
                        continue
                    rows += 1
        for row in range(first_row, rows):
            step[row], wall_time[row] = event_step, event_wall
        earliest = min(earliest, event_wall)
        position = after + TAIL


@compiled
def next_frame(piece, end):
    """The first place where a frame begins whose checksums are both right, ``end`` if nowhere."""
    data = piece.ctypes.data
    for position in range(end - HEAD - TAIL):
        start = position + HEAD
        if masked_crc(data, position, position + 8) == word32(data, position + 8):
            length = word64(data, position)
            if length <= np.uint64(end - TAIL - start):
                after = start + np.int64(length)
                if masked_crc(data, start, after) == word32(data, after):
                    return position
    return end


@compiled
def count_tags(tag, counts):
    """Add to ``counts`` how often each tag is there."""
    for row in range(len(tag)):
        counts[tag[row]] += 1


@compiled
def sort_by_tag(tag, step, wall_time, value, places, steps, wall_times, values):
    """Append rows to the stretch of each tag; ``places`` holds where each goes on."""
    for row in range(len(tag)):
        place = places[tag[row]]
        places[tag[row]] = place + 1
        steps[place] = step[row]
        wall_times[place] = wall_time[row]
        values[place] = value[row]
