"""The compiled pass over lines that are JSON objects.

Types are left to numba, so these functions carry no hints; shapes stand in their docstrings. All
take an address and places after it; the caller answers for the ``PADDING`` that must follow the
text, the first byte of it zero, where every loop ends. What is unusual (a letter that is not ASCII,
an escaped key, a key that occurs twice) they leave to others.
"""

# mypy: ignore-errors

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tarslab.compiled import byte, compiled, ones, trailing_zeros, word32, word64
from tarslab.runs.formats.csv_kernels import (
    DIGITS,
    EXACT,
    GREATEST_POWER,
    LEAST_POWER,
    POWERS_OF_FIVE,
    POWERS_OF_TEN,
    ZEROS,
    eight_digits,
    rounded,
)
from tarslab.runs.formats.json_scanning import CELL, FLOAT, INTEGER, MISSING, OTHER, SAME, SKIP

__all__ = ["POWERS_OF_FIVE", "POWERS_OF_TEN", "most_lines", "scan"]

MOST_NESTED = 60

TAB, LINE_FEED, RETURN, SPACE, QUOTE, PLUS, COMMA, MINUS, POINT = 9, 10, 13, 32, 34, 43, 44, 45, 46
ZERO, COLON, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = 48, 58, 91, 92, 93, 123, 125
# What may stand after a backslash, but for u.
ESCAPES = tuple(b'"\\/bfnrt')
LOWER_CASE, E, U = 32, ord("e"), ord("u")
TRUE, NULL, FALS, INFI, NITY = (
    np.uint64(int.from_bytes(word, "little"))
    for word in (b"true", b"null", b"fals", b"Infi", b"nity")
)
NAN, THREE_BYTES = np.uint64(int.from_bytes(b"NaN", "little")), np.uint64(0xFFFFFF)
ONE = np.uint64(1)


def _mask(chosen):
    """A function of an address and a place after it: which of the 64 bytes there are chosen, as the
    bits of a uint64, the first the lowest."""

    @intrinsic
    def mask(typing_context, address, at):
        def generate(context, builder, signature, arguments):
            letters = ir.VectorType(ir.IntType(8), 64)
            place = builder.inttoptr(builder.add(*arguments), letters.as_pointer())

            def every(letter):
                return ir.Constant(letters, [ir.Constant(ir.IntType(8), letter)] * 64)

            found = chosen(builder, builder.load(place, align=1), every)
            return builder.bitcast(found, ir.IntType(64))

        return types.uint64(types.int64, types.int64), generate

    return mask


def _ends_letters(builder, letters, every):
    ends = builder.icmp_unsigned("==", letters, every(QUOTE))
    ends = builder.or_(ends, builder.icmp_unsigned("==", letters, every(BACKSLASH)))
    # As signed numbers, those that are not ASCII are negative.
    return builder.or_(ends, builder.icmp_signed("<", letters, every(SPACE)))


def _is_digit(builder, letters, every):
    return builder.icmp_unsigned("<", builder.sub(letters, every(ZERO)), every(10))


def _is_line_feed(builder, letters, every):
    return builder.icmp_unsigned("==", letters, every(LINE_FEED))


# A quote, a backslash, a control character or what is not ASCII; and a digit.
stops = _mask(_ends_letters)
digits = _mask(_is_digit)
line_feeds = _mask(_is_line_feed)


@compiled
def most_lines(text, end):
    """At least the number of lines in a text, and few more."""
    count = 1
    for at in range(0, end, 64):
        count += np.int64(ones(line_feeds(text, at)))
    return count


@compiled
def scan(text, end, levels, strict, keys, spans, below, fives, tens, seen, number, kind, places):
    """Read the lines of a text of ``end`` bytes: their count, -1 where one is unusual or wrong.

    The keys of level n are those from ``levels[n]`` to ``levels[n + 1]``; ``strict[n]`` where it
    may have no others. ``keys`` is the address of their letters, ``spans`` (shape (keys, 2)) says
    where each begins there and its length, ``below`` what stands below it. ``fives`` and ``tens``
    are the powers of csv_kernels, ``seen`` (shape (keys,)) is room. ``number`` (float64) and
    ``kind`` (uint8, all MISSING) have shape (cells, rows at least) and ``places`` (int64) shape
    (cells, rows, 2): where a cell of kind OTHER begins and ends.
    """
    outer, cursors = np.empty(MOST_NESTED, np.int64), np.empty(MOST_NESTED, np.int64)
    seen[:] = -1
    at, row = 0, 0
    while True:
        while is_blank(byte(text, at)) or byte(text, at) == LINE_FEED:
            at += 1
        if at == end:
            return row
        if byte(text, at) != OPEN or row == number.shape[1]:
            return -1
        depth, level, cursor = 0, 0, levels[0]
        at = past_blanks(text, at + 1)
        inside = byte(text, at) != CLOSE
        if not inside:
            at += 1
        while inside:
            if byte(text, at) != QUOTE:
                return -1
            first = at + 1
            at = next_stop(text, first)
            if byte(text, at) != QUOTE:
                return -1
            key = found(
                text, first, at - first, levels[level], levels[level + 1], cursor, keys, spans
            )
            at = past_colon(text, at + 1)
            if at < 0:
                return -1
            here = SKIP
            if key >= 0:
                if seen[key] == row:
                    return -1
                seen[key] = row
                cursor = key + 1
                here = below[key]
            elif strict[level]:
                return -1
            if here == SKIP:
                at = skipped(text, at)
                if at < 0:
                    return -1
            elif here >= 0:
                if byte(text, at) == OPEN:
                    outer[depth], cursors[depth] = level, cursor
                    depth += 1
                    level, cursor = here, levels[here]
                    at = past_blanks(text, at + 1)
                    if byte(text, at) != CLOSE:
                        continue
                elif word32(text, at) == NULL:
                    at += 4
                else:
                    return -1
            else:
                cell, first = CELL - here, at
                at, what, value = read(text, at, fives, tens)
                if at < 0:
                    return -1
                if what == OTHER:
                    places[cell, row, 0], places[cell, row, 1] = first, at
                    if row and is_same(text, places[cell], row, kind[cell, row - 1]):
                        places[cell, row] = places[cell, row - 1]
                        what = SAME
                number[cell, row], kind[cell, row] = value, what
            while True:
                at = past_blanks(text, at)
                letter = byte(text, at)
                at += 1
                if letter == COMMA:
                    at = past_blanks(text, at)
                    break
                if letter != CLOSE:
                    return -1
                if depth == 0:
                    inside = False
                    break
                depth -= 1
                level, cursor = outer[depth], cursors[depth]
        at = past_blanks(text, at)
        if at != end and byte(text, at) != LINE_FEED:
            return -1
        row += 1


@compiled
def found(text, first, length, begin, end, cursor, keys, spans):
    """Which of the keys from ``begin`` to ``end`` stands in a text, -1 where none does.

    The one at ``cursor`` is tried first: lines have their keys in one order.
    """
    if (
        cursor < end
        and spans[cursor, 1] == length
        and is_equal(text, first, keys, spans[cursor, 0], length)
    ):
        return cursor
    for key in range(begin, end):
        if spans[key, 1] == length and is_equal(text, first, keys, spans[key, 0], length):
            return key
    return -1


@compiled
def is_equal(text, at, other, place, length):
    """Whether the same bytes stand in two texts, both with eight more behind."""
    while length >= 8:
        if word64(text, at) != word64(other, place):
            return False
        at, place, length = at + 8, place + 8, length - 8
    past = np.uint64(64 - 8 * length)
    return length == 0 or (word64(text, at) ^ word64(other, place)) << past == np.uint64(0)


@compiled
def is_same(text, places, row, kind_before):
    """Whether a cell is what it was in the row before."""
    length = places[row, 1] - places[row, 0]
    return (
        kind_before in (OTHER, SAME)
        and places[row - 1, 1] - places[row - 1, 0] == length
        and is_equal(text, places[row, 0], text, places[row - 1, 0], length)
    )


@compiled
def is_blank(letter):
    return letter in (SPACE, TAB, RETURN)


@compiled
def past_blanks(text, at):
    while is_blank(byte(text, at)):
        at += 1
    return at


@compiled
def past_colon(text, at):
    """Where a value begins after its key, -1 where it does not."""
    at = past_blanks(text, at)
    return past_blanks(text, at + 1) if byte(text, at) == COLON else -1


@compiled
def skipped(text, at):
    """Where a value ends, -1 where it is unusual or wrong."""
    depth, objects = 0, np.uint64(0)
    while True:
        letter = byte(text, at)
        if letter in (OPEN, OPEN_LIST):
            depth += 1
            if depth == MOST_NESTED:
                return -1
            objects = objects << ONE | np.uint64(letter == OPEN)
            at = past_blanks(text, at + 1)
            if byte(text, at) != letter + (CLOSE - OPEN):
                if letter == OPEN:
                    at = past_key(text, at)
                    if at < 0:
                        return -1
                continue
        elif letter == QUOTE:
            at = string_end(text, at + 1) + 1
            if at == 0:
                return -1
        else:
            at = plain_end(text, at)
            if at < 0:
                return -1
        while depth:
            at = past_blanks(text, at)
            letter = byte(text, at)
            at += 1
            if letter == COMMA:
                at = past_blanks(text, at)
                break
            if letter != (CLOSE if objects & ONE else CLOSE_LIST):
                return -1
            depth -= 1
            objects >>= ONE
        if depth == 0:
            return at
        if objects & ONE:
            at = past_key(text, at)
            if at < 0:
                return -1


@compiled
def past_key(text, at):
    """Where the value begins after a key and its colon, -1 where none stands there."""
    if byte(text, at) != QUOTE:
        return -1
    at = string_end(text, at + 1)
    return past_colon(text, at + 1) if at >= 0 else -1


@compiled
def next_stop(text, at):
    """Where a string ends, or anything stands in it that is not a plain letter."""
    found = stops(text, at)
    while found == np.uint64(0):
        at += 64
        found = stops(text, at)
    return at + np.int64(trailing_zeros(found))


@compiled
def string_end(text, at):
    """Where the quote stands that ends a string, -1 where there is none or it is unusual."""
    while True:
        at = next_stop(text, at)
        letter = byte(text, at)
        if letter == QUOTE:
            return at
        if letter != BACKSLASH:
            return -1
        letter = byte(text, at + 1)
        at += 2
        if letter == U:
            for _ in range(4):
                digit = byte(text, at)
                lower = digit | LOWER_CASE
                if not (ZERO <= digit < ZERO + 10 or ord("a") <= lower <= ord("f")):
                    return -1
                at += 1
        elif letter not in ESCAPES:
            return -1


@compiled
def plain_end(text, at):
    """Where a number or a word of JSON or Python ends, -1 where none stands there."""
    if byte(text, at) == MINUS:
        at += 1
        if word32(text, at) == INFI:
            return at + 8 if word32(text, at + 4) == NITY else -1
    known = digits(text, at)
    whole = np.int64(trailing_zeros(~known))
    if whole == 0:
        return word_end(text, at)
    if whole > 60 or (whole > 1 and byte(text, at) == ZERO):
        return -1
    at += whole
    if byte(text, at) == POINT:
        part = np.int64(trailing_zeros(~(known >> np.uint64(whole + 1))))
        # What lies beyond the 64 bytes was not looked at.
        if part == 0 or whole + 1 + part >= 64:
            return -1
        at += 1 + part
    if byte(text, at) | LOWER_CASE == E:
        at += 1
        if byte(text, at) == MINUS or byte(text, at) == PLUS:
            at += 1
        exponent = np.int64(trailing_zeros(~digits(text, at)))
        if exponent == 0:
            return -1
        at += exponent
    return at


@compiled
def word_end(text, at):
    word = word32(text, at)
    if word in (NULL, TRUE):
        return at + 4
    if word == FALS and byte(text, at + 4) == E:
        return at + 5
    if word & THREE_BYTES == NAN and byte(text, at - 1) != MINUS:
        return at + 3
    if word == INFI and word32(text, at + 4) == NITY and byte(text, at - 1) != MINUS:
        return at + 8
    return -1


@compiled
def read(text, at, fives, tens):
    """Of a value its end, -1 where it is unusual or wrong, its kind, and the number it is."""
    negative = byte(text, at) == MINUS
    begin = at + negative
    at = skipped(text, at)
    if at < 0 or not ZERO <= byte(text, begin) < ZERO + 10:
        letter = byte(text, begin)
        if at < 0 or letter == ord("n"):
            return at, MISSING, np.nan
        if letter == ord("N"):
            return at, FLOAT, np.nan
        if letter == ord("I"):
            return at, FLOAT, -np.inf if negative else np.inf
        return at, OTHER, np.nan
    mantissa, count, point = np.uint64(0), 0, at
    place = begin
    while place < at:
        eight = digits(text, place)
        run = np.int64(trailing_zeros(~eight))
        count += run
        while run >= 8:
            mantissa = mantissa * np.uint64(100_000_000) + eight_digits(word64(text, place) ^ ZEROS)
            place, run = place + 8, run - 8
        for _ in range(run):
            mantissa = mantissa * np.uint64(10) + np.uint64(byte(text, place) - ZERO)
            place += 1
        if byte(text, place) != POINT:
            break
        place += 1
        point = place
    whole = point == at and place == at
    while count > DIGITS and (byte(text, begin) == ZERO or byte(text, begin) == POINT):
        count -= byte(text, begin) == ZERO
        begin += 1
    if count > DIGITS:
        return at, OTHER, np.nan
    if whole:
        if mantissa >= EXACT:
            return at, OTHER, np.nan
        value = np.float64(mantissa)
        return at, INTEGER, -value if negative and value != 0.0 else value
    power = point - place if point < at else 0
    if place < at:
        place += 1
        falls = byte(text, place) == MINUS
        if falls or byte(text, place) == PLUS:
            place += 1
        exponent = 0
        while place < at:
            exponent = min(exponent * 10 + byte(text, place) - ZERO, 9999)
            place += 1
        power += -exponent if falls else exponent
    if mantissa == np.uint64(0):
        value = 0.0
    elif mantissa < EXACT and -len(tens) < power < len(tens):
        # Both factors are exact, so that one operation rounds once.
        value = np.float64(mantissa)
        value = value * tens[power] if power >= 0 else value / tens[-power]
    elif LEAST_POWER <= power <= GREATEST_POWER:
        decided, value = rounded(
            mantissa, power, fives[power - LEAST_POWER, 0], fives[power - LEAST_POWER, 1]
        )
        if not decided:
            return at, OTHER, np.nan
    else:
        return at, OTHER, np.nan
    return at, FLOAT, -value if negative else value
