"""Durations as k6 writes them: ``"1m30s"``, ``"500ms"``, or a number of milliseconds."""

import re
from typing import Self

# Nanoseconds of each unit: those of Go, and k6's days.
UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")


class Duration(float):
    """Seconds, never negative, exact to the nanosecond; its text is k6's."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """From k6's text or number of milliseconds.

        Raises:
            ValueError: It is neither; the message shows what is.
        """
        if isinstance(value, str):
            parts = PART.findall(value)
            if value == "0":
                return cls(0)
            if parts and "".join(number + unit for number, unit in parts) == value:
                return cls(sum(float(number) * UNITS[unit] for number, unit in parts) / 1e9)
        elif isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return cls(value / 1e3)
        raise ValueError(
            f'a duration such as "1m30s" or "500ms", or a number of milliseconds, not {value!r}'
        )

    def __str__(self) -> str:
        left = round(self * 1e9)
        text = ""
        for unit in ("h", "m", "s", "ms", "us", "ns"):
            whole, left = divmod(left, UNITS[unit])
            if whole:
                text += f"{whole}{unit}"
        return text or "0s"

    def __repr__(self) -> str:
        return f"Duration({str(self)!r})"
