"""The buckets of HdrHistogram with three significant digits, from 1 µs to an hour."""

LONGEST = 3_600_000_000
"""Microseconds; what takes longer counts as an hour."""
BUCKETS = 23_552
"""How many there are."""


def bucket(microseconds: int) -> int:
    """The number of the bucket of a value.

    Values below 2,048 have one of their own, and above that each is at most 0.1 % wide.
    """
    shift = microseconds.bit_length() - 11
    return microseconds if shift <= 0 else (shift << 10) + (microseconds >> shift)
