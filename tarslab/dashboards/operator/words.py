"""Times, lengths of time and curves as text and small pictures."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from tarslab.admin.models import Curve
from tarslab.dashboards.operator.parts import Sparkline

WIDTH, HEIGHT, MARGIN = 100.0, 24.0, 2.0


def moment(seconds: float | None) -> str:
    """Unix seconds as a date and time of UTC; "" for None."""
    if seconds is None:
        return ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def countdown(seconds: float) -> str:
    """``4:05``, or in hours or days where there are many."""
    whole = max(0, math.ceil(seconds))
    if whole >= 2 * 86_400:
        return f"{whole // 86_400} days"
    if whole >= 3_600:
        return f"{whole // 3_600}:{whole % 3_600 // 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def length(seconds: float) -> str:
    """``300 s``, ``2 h``, ``30 days``: in the largest unit of which it is a whole number."""
    for unit, size in (("day", 86_400), ("h", 3_600), ("min", 60)):
        amount, rest = divmod(seconds, size)
        if amount and not rest:
            return count(int(amount), unit) if unit == "day" else f"{amount:g} {unit}"
    return f"{seconds:g} s"


def number(value: float | None) -> str:
    """In four figures at least, and without a fraction where it is large; "" for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def milliseconds(seconds: float | None) -> str:
    """``1.3 ms``; "" for None."""
    return "" if seconds is None else f"{seconds * 1_000:.1f} ms"


def short(identifier: str) -> str:
    """Enough of an id to tell it from others."""
    return identifier if len(identifier) <= 12 else f"{identifier[:8]}…"


def count(amount: int, what: str) -> str:
    """``1 token``, ``2 tokens``."""
    return f"{amount:,} {what}" if amount == 1 else f"{amount:,} {what}s"


def reward(curve: Curve) -> Sparkline | str:
    """The curve of a reward; points that were no number are left out."""
    points = zip(curve.step, curve.value, strict=True)
    return sparkline([(step, value) for step, value in points if value is not None], "reward")


def sparkline(points: Sequence[tuple[float, float]], what: str) -> Sparkline | str:
    """A curve as a path of SVG, 100 by 24; in words where there are fewer than two points."""
    if len(points) < 2:
        return "no curve"
    xs, ys = zip(*points, strict=True)
    left, low = min(xs), min(ys)
    across, up = (max(xs) - left) or 1.0, (max(ys) - low) or 1.0
    places = [
        f"{(x - left) / across * WIDTH:.1f} "
        f"{HEIGHT - MARGIN - (y - low) / up * (HEIGHT - 2 * MARGIN):.1f}"
        for x, y in points
    ]
    text = (
        f"{what} from {number(ys[0])} to {number(ys[-1])}, "
        f"lowest {number(low)}, highest {number(max(ys))}"
    )
    return Sparkline("M" + "L".join(places), text)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values as HTML; what services say is text and no HTML."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"
