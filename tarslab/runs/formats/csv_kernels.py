"""The compiled pass over the rows of a CSV that holds nothing but numbers.

Types are left to numba, so these functions carry no hints; shapes stand in their docstrings.
Decimal to binary after Lemire, "Number parsing at a gigabyte per second", Software: Practice and
Experience 51 (2021): correctly rounded, as Python's ``float``.
"""

# mypy: ignore-errors

import numpy as np

from tarslab.compiled import byte, compiled, leading_zeros, product, word64

TAB, LINE_FEED, RETURN, SPACE, PLUS, MINUS, POINT, ZERO = 9, 10, 13, 32, 43, 45, 46, 48
ZEROS, SIXES, HIGH_HALVES = (np.uint64(b * 0x0101010101010101) for b in (0x30, 0x06, 0xF0))
LOWER_CASE, E, NAN, INF = 32, ord("e"), (110, 97, 110), (105, 110, 102)

LEAST_POWER, GREATEST_POWER = -342, 308
# More digits than this do not fit 64 bits, and a greater number not the 53 of a float.
DIGITS, EXACT = 19, np.uint64(1 << 53)


def powers_of_five():
    """The first 128 bits of 5**q, shape (651, 2): high and low word for q from -342 to 308."""
    words = []
    for q in range(LEAST_POWER, GREATEST_POWER + 1):
        power = 5 ** abs(q)
        if q < 0:
            # The reciprocal, rounded up, as the proof of the method asks.
            bits = power.bit_length() - (power & (power - 1) == 0)
            power = (1 << (2 * bits + 128)) // power + 1
        shift = power.bit_length() - 128
        power = power >> shift if shift > 0 else power << -shift
        words.append((power >> 64, power & 0xFFFFFFFFFFFFFFFF))
    return np.array(words, dtype=np.uint64)


POWERS_OF_FIVE = powers_of_five()
POWERS_OF_TEN = np.array([float(f"1e{q}") for q in range(23)])


@compiled
def parse_all(texts, starts, ends, separator, fives, tens, number, numeric, firsts, counts, odd):
    """``parse`` of several texts, the rows of each from its place in ``firsts`` on.

    ``counts`` (int64, shape (texts, 2)) gets what each gives; ``odd`` has shape (texts, n, 4).
    """
    for n in range(len(texts)):
        columns = slice(firsts[n], firsts[n + 1])
        counts[n] = parse(
            texts[n],
            starts[n],
            ends[n],
            separator,
            fives,
            tens,
            number[:, columns],
            numeric[:, columns],
            odd[n],
        )


@compiled
def parse(text, start, end, separator, fives, tens, number, numeric, odd):
    """Read the rows at the address ``text`` from ``start`` to ``end``: their count and how many
    cells are odd.

    ``number`` (float64) and ``numeric`` (bool) have shape (columns, rows at
    least); ``fives`` and ``tens`` are the powers above. ``odd`` (int64, shape (n, 4)) gets column,
    row, start and end of the numbers that Python must read. The count is -1 where a cell is no
    number, a row has not as many cells as there are columns, or the last row does not end; empty
    lines count for nothing.
    """
    columns = len(number)
    room = number.shape[1]
    at, column, row, odds = start, 0, 0, 0
    while at < end:
        if row == room:
            return -1, odds
        while (
            at < end
            and (byte(text, at) == SPACE or byte(text, at) == TAB)
            and byte(text, at) != separator
        ):
            at += 1
        first = at
        negative = at < end and byte(text, at) == MINUS
        if negative or (at < end and byte(text, at) == PLUS):
            at += 1
        begin = at
        mantissa, power = np.uint64(0), 0
        while at < end:
            digit = np.uint64(byte(text, at)) - np.uint64(ZERO)
            if digit > np.uint64(9):
                break
            mantissa = mantissa * np.uint64(10) + digit
            at += 1
        count = at - begin
        if at < end and byte(text, at) == POINT:
            at += 1
            point = at
            while at + 8 <= end:
                eight = word64(text, at) ^ ZEROS
                if (eight | (eight + SIXES)) & HIGH_HALVES:
                    break
                mantissa = mantissa * np.uint64(100_000_000) + eight_digits(eight)
                at += 8
            while at < end:
                digit = np.uint64(byte(text, at)) - np.uint64(ZERO)
                if digit > np.uint64(9):
                    break
                mantissa = mantissa * np.uint64(10) + digit
                at += 1
            power = point - at
            count += at - point
        value, decided, empty = 0.0, True, False
        if count == 0:
            value = np.nan
            if at != begin:
                return -1, odds
            if at + 3 <= end and byte(text, at) | LOWER_CASE in (NAN[0], INF[0]):
                letters = (
                    byte(text, at) | LOWER_CASE,
                    byte(text, at + 1) | LOWER_CASE,
                    byte(text, at + 2) | LOWER_CASE,
                )
                if letters == INF:
                    value = np.inf
                elif letters != NAN:
                    return -1, odds
                at += 3
            elif at == first:
                empty = True
            else:
                return -1, odds
        else:
            if at < end and byte(text, at) | LOWER_CASE == E:
                at += 1
                falls = at < end and byte(text, at) == MINUS
                if falls or (at < end and byte(text, at) == PLUS):
                    at += 1
                point, exponent = at, 0
                while at < end and ZERO <= byte(text, at) < ZERO + 10:
                    exponent = min(exponent * 10 + (byte(text, at) - ZERO), 9999)
                    at += 1
                if at == point:
                    return -1, odds
                power += -exponent if falls else exponent
            while count > DIGITS and (byte(text, begin) == ZERO or byte(text, begin) == POINT):
                count -= byte(text, begin) == ZERO
                begin += 1
            if count > DIGITS:
                decided = False
            elif mantissa < EXACT and -len(tens) < power < len(tens):
                # Both factors are exact, so that one operation rounds once.
                value = np.float64(mantissa)
                value = value * tens[power] if power >= 0 else value / tens[-power]
            elif mantissa != np.uint64(0):
                decided = LEAST_POWER <= power <= GREATEST_POWER
                if decided:
                    place = power - LEAST_POWER
                    decided, value = rounded(mantissa, power, fives[place, 0], fives[place, 1])
        number[column, row] = -value if negative else value
        if not decided:
            if odds == len(odd):
                return -1, odds
            odd[odds, 0], odd[odds, 1], odd[odds, 2], odd[odds, 3] = column, row, first, at
            odds += 1
        while (
            at < end
            and (byte(text, at) == SPACE or byte(text, at) == TAB)
            and byte(text, at) != separator
        ):
            at += 1
        if column < columns - 1 and at < end and byte(text, at) == separator:
            numeric[column, row] = not empty
            column += 1
            at += 1
            continue
        if at < end and byte(text, at) == RETURN:
            at += 1
        if at == end or byte(text, at) != LINE_FEED:
            return -1, odds
        at += 1
        if column == 0 and empty:
            continue
        if column < columns - 1:
            return -1, odds
        numeric[column, row] = not empty
        column = 0
        row += 1
    return (row if column == 0 else -1), odds


@compiled
def is_blank(letter):
    return (letter == SPACE) | (letter == TAB)


@compiled
def eight_digits(digits):
    """The number that eight bytes of a digit each make, the first the greatest."""
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    return (
        (pairs & mask) * np.uint64(0x000F424000000064)
        + ((pairs >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    ) >> np.uint64(32)


@compiled
def rounded(mantissa, power, five_high, five_low):
    """Whether the number nearest to ``mantissa * 10**power`` is decided, and that number."""
    zeros = leading_zeros(mantissa)
    mantissa <<= zeros
    high, low = product(mantissa, five_high)
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more = product(mantissa, five_low)[0]
        low += more
        high += np.uint64(low < more)
    top = high >> np.uint64(63)
    exponent = ((217706 * power) >> 16) + 1086 + np.int64(top) - np.int64(zeros)
    if low == np.uint64(0xFFFFFFFFFFFFFFFF) or exponent <= 0:
        return False, np.nan
    shift = top + np.uint64(9)
    fraction = high >> shift
    if (
        low <= np.uint64(1)
        and -4 <= power <= 23
        and fraction & np.uint64(3) == np.uint64(1)
        and fraction << shift == high
    ):
        # Halfway between two numbers: to the even one.
        fraction -= np.uint64(1)
    fraction = (fraction + (fraction & np.uint64(1))) >> np.uint64(1)
    if fraction == np.uint64(1) << np.uint64(53):
        fraction >>= np.uint64(1)
        exponent += 1
    if exponent > 2046:
        return False, np.nan
    bits = np.uint64(exponent) << np.uint64(52) | fraction & np.uint64((1 << 52) - 1)
    return True, np.uint64(bits).view(np.float64)
