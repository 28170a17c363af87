"""The compiled pass over event files: frames, checksums and scalars; and the sort by tag after it.

Types are left to numba, so these functions carry no hints; shapes stand in their docstrings.
"""

# mypy: ignore-errors

import numpy as np

from tarslab.compiled import compiled, word64
from tarslab.runs.formats.tfevents.checksums import masked_crc
from tarslab.runs.formats.tfevents.frames import HEAD, TAIL

# Why a pass ended.
NEEDS_MORE, BAD_LENGTH, BAD_RECORD, BAD_EVENT, TAGS_FULL = 0, 1, 2, 3, 4

# The column of tags holds ODD - tag where the pass cannot read the value.
ODD = -1

# What is known of a tag's plugin.
UNKNOWN, SCALARS, OTHER = 0, 1, 2


@compiled
def word32(data, at):
    """Four bytes, little-endian, as uint64: numba widens whatever is narrower."""
    return (
        np.uint64(data[at])
        | np.uint64(data[at + 1]) << np.uint64(8)
        | np.uint64(data[at + 2]) << np.uint64(16)
        | np.uint64(data[at + 3]) << np.uint64(24)
    )


@compiled
def varint(data, at, end):
    """The number and the place after it; the place is -1 where it does not end before ``end``."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < np.uint64(64):
        byte = np.uint64(data[at])
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
def names(tag, data, start, length, pool, offsets):
    """Whether ``data`` has the name of ``tag`` at ``start``."""
    at = offsets[tag]
    if offsets[tag + 1] - at != length:
        return False
    i = 0
    while i + 8 <= length:
        if word64(data, start + i) != word64(pool, at + i):
            return False
        i += 8
    if length >= 8:
        # The last eight, some of them for the second time.
        return word64(data, start + length - 8) == word64(pool, at + length - 8)
    while i < length and data[start + i] == pool[at + i]:
        i += 1
    return i == length


@compiled
def intern(data, start, length, previous, pool, offsets, slots, successor):
    """The number of a tag, -1 where the table of tags is full; noted as the one after ``previous``.

    ``offsets`` holds the number of tags in its last place.
    """
    value = np.uint64(0xCBF29CE484222325)
    for i in range(length):
        value = (value ^ np.uint64(data[start + i])) * np.uint64(0x100000001B3)
    mask = np.int64(len(slots) - 1)
    slot = np.int64(value >> np.uint64(20)) & mask
    while slots[slot] >= 0:
        tag = slots[slot]
        if names(tag, data, start, length, pool, offsets):
            successor[previous] = tag
            return tag
        slot = (slot + 1) & mask
    tag = offsets[-1]
    if tag + 2 >= len(offsets) or offsets[tag] + length > len(pool):
        return np.int64(-1)
    pool[offsets[tag] : offsets[tag] + length] = data[start : start + length]
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
def float_tensor(data, start, end, number32, number64):
    """What a TensorProto is: 1 a single float, now in ``number32`` or ``number64``; 0 no scalar of
    floats; 2 of another type or shape, to be looked at in detail; -1 malformed."""
    size, found = 0, 0
    while start < end:
        key, value, inner, start = field(data, start, end)
        if start < 0:
            return -1
        length = start - inner
        if key == np.uint64(0x08):
            size = 4 if value == np.uint64(1) else 8 if value == np.uint64(2) else 0
        elif key == np.uint64(0x12) and length:
            # A scalar's shape has no dimensions.
            return 2
        elif (
            (key == np.uint64(0x22) and length)
            or key in (np.uint64(0x2A), np.uint64(0x32))
            or key in (np.uint64(0x2D), np.uint64(0x31))
        ):
            if found or size == 0 or length != size:
                return 2
            found = 1
            if size == 4:
                number32[0] = word32(data, inner)
            else:
                number64[0] = word64(data, inner)
    if size == 0 or not found:
        return 2
    return 1 if size == 4 else 3


@compiled
def one_simple_value(data, start, end):
    """Where the tag begins, and its length, in an event of wall time, step and one simple value in
    this order, as all writers of scalars but TensorFlow 2 put them; the length is -1 for others.
    """
    if end - start < 20 or data[start] != 0x09:
        return start, np.int64(-1)
    at = start + 9
    if data[at] == 0x10:
        _, at = varint(data, at + 1, end)
    if at < 0 or end - at < 11:
        return start, np.int64(-1)
    # 2a, length of the summary, 0a, length of the value, 0a, length of the tag.
    head = word64(data, at)
    length = np.int64(head >> np.uint64(8) & np.uint64(0xFF))
    if (
        head & np.uint64(0xFF00FF00FF) == np.uint64(0x0A000A002A)
        and length < 0x80
        and at + 2 + length == end
        and np.int64(head >> np.uint64(24) & np.uint64(0xFF)) == length - 2
        and np.int64(head >> np.uint64(40) & np.uint64(0xFF)) == length - 9
        and data[end - 5] == 0x15
    ):
        return at + 6, length - 9
    return start, np.int64(-1)


@compiled
def parse(data, end, pool, offsets, slots, successor, plugins, tag, step, wall_time, value, odd):
    """Rows of all whole frames in ``data[:end]``.

    Fills one place a value in the columns ``tag``, ``step``, ``wall_time`` and ``value``, which
    must have room for ``end // 7``; of an odd value ``odd`` holds start (negative where the tag
    is another plugin's) and end of the summary value in ``data``, the place of its frame, and the
    first row of that. Returns how many rows
    there are, the place that was reached, why it ended there, and the earliest wall time.
    """
    bits32, bits64 = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    number32, number64 = bits32.view(np.float32), bits64.view(np.float64)
    rows, previous, earliest = 0, len(successor) - 1, np.inf
    position = np.int64(0)
    while True:
        if position + HEAD > end:
            return rows, position, NEEDS_MORE, earliest
        if masked_crc(data, position, position + 8) != word32(data, position + 8):
            return rows, position, BAD_LENGTH, earliest
        length = word64(data, position)
        if length > np.uint64(end) or position + HEAD + np.int64(length) + TAIL > end:
            return rows, position, NEEDS_MORE, earliest
        start = position + HEAD
        after = start + np.int64(length)
        if masked_crc(data, start, after) != word32(data, after):
            return rows, position, BAD_RECORD, earliest

        event_wall, event_step, first_row = 0.0, np.int64(0), rows
        at = start
        tag_start, tag_length = one_simple_value(data, start, after)
        if tag_length >= 0:
            # Loggers repeat their tags in one order.
            number_of_tag = successor[previous]
            if number_of_tag < 0 or not names(
                number_of_tag, data, tag_start, tag_length, pool, offsets
            ):
                number_of_tag = intern(
                    data, tag_start, tag_length, previous, pool, offsets, slots, successor
                )
                if number_of_tag < 0:
                    return rows, position, TAGS_FULL, earliest
            previous = number_of_tag
            tag[rows] = number_of_tag
            bits32[0] = word32(data, after - 4)
            value[rows] = number32[0]
            bits64[0] = word64(data, start + 1)
            event_wall = number64[0]
            if data[start + 9] == 0x10:
                number, _ = varint(data, start + 10, after)
                event_step = np.int64(number)
            rows += 1
            at = after
        while at < after:
            key, number, inner, at = field(data, at, after)
            if at < 0:
                return first_row, position, BAD_EVENT, earliest
            if key == np.uint64(0x09):
                bits64[0] = word64(data, inner)
                event_wall = number64[0]
            elif key == np.uint64(0x10):
                event_step = np.int64(number)
            elif key == np.uint64(0x2A):
                while inner < at:
                    key, _, entry, inner = field(data, inner, at)
                    if inner < 0:
                        return first_row, position, BAD_EVENT, earliest
                    if key != np.uint64(0x0A):
                        continue
                    entry_start = entry
                    tag_start, tag_end, simple, tensor, tensor_end = entry, entry, -1, -1, -1
                    plugin = UNKNOWN
                    while entry < inner:
                        key, _, part, entry = field(data, entry, inner)
                        if entry < 0:
                            return first_row, position, BAD_EVENT, earliest
                        if key == np.uint64(0x0A):
                            tag_start, tag_end = part, entry
                        elif key == np.uint64(0x15):
                            simple = part
                        elif key == np.uint64(0x42):
                            tensor, tensor_end = part, entry
                        elif key == np.uint64(0x4A):
                            plugin = plugin_of(data, part, entry)
                            if plugin < 0:
                                return first_row, position, BAD_EVENT, earliest
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
                        return first_row, position, TAGS_FULL, earliest
                    previous = number_of_tag
                    if plugin != UNKNOWN and plugins[number_of_tag] == UNKNOWN:
                        plugins[number_of_tag] = plugin
                    if tensor >= 0:
                        kind = 2
                        if plugins[number_of_tag] != OTHER:
                            kind = float_tensor(data, tensor, tensor_end, bits32, bits64)
                        if kind < 0:
                            return first_row, position, BAD_EVENT, earliest
                        if kind == 2:
                            tag[rows] = ODD - number_of_tag
                            known_other = plugins[number_of_tag] == OTHER
                            odd[rows, 0] = -entry_start if known_other else entry_start
                            odd[rows, 1] = inner
                            odd[rows, 2], odd[rows, 3] = position, first_row
                        else:
                            tag[rows] = number_of_tag
                            value[rows] = number32[0] if kind == 1 else number64[0]
                    elif simple >= 0:
                        tag[rows] = number_of_tag
                        bits32[0] = word32(data, simple)
                        value[rows] = number32[0]
                    else:
                        continue
                    rows += 1
        for row in range(first_row, rows):
            step[row], wall_time[row] = event_step, event_wall
        earliest = min(earliest, event_wall)
        position = after + TAIL


@compiled
def next_frame(data, end):
    """The first place where a frame begins whose checksums are both right, ``end`` if nowhere."""
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
def sort_by_tag(tag, step, wall_time, value, places, steps, wall_times, values):
    """Append rows to the stretch of each tag; ``places`` holds where each goes on."""
    for row in range(len(tag)):
        place = places[tag[row]]
        places[tag[row]] = place + 1
        steps[place] = step[row]
        wall_times[place] = wall_time[row]
        values[place] = value[row]
