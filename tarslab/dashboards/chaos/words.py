"""What the chaos dashboard says, as HTML."""

import math
import time
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tarslab.chaos import Event, Plan, Snapshot
    from tarslab.chaos.undo import Entry

# Of so many events the last are shown.
EVENTS = 12
GOOD, BAD, UNKNOWN = "#00704f", "#a63c00", "#555555"
BOX = "border:1px solid #ccc;padding:8px 12px;max-height:320px;overflow:auto;margin:4px 0"


def status(text: str, tone: str = "") -> str:
    """One line, which a screen reader reads when it changes."""
    colour = {"good": GOOD, "bad": BAD}.get(tone, "inherit")
    return f'<div role="status" style="color:{colour}">{escape(text)}</div>'


def plan(of: "Plan") -> str:
    """Exactly what would be touched."""
    return _box("Plan", f'<pre style="white-space:pre-wrap;margin:0">{escape(str(of))}</pre>')


def progress(snapshot: "Snapshot", seconds: float) -> str:
    """Where an experiment is."""
    doing = f": {snapshot.doing}" if snapshot.doing else ""
    text = f"{snapshot.phase}{doing} · {snapshot.elapsed:.0f} s of about {seconds:.0f} s"
    if snapshot.aborting:
        text = f"Aborting: what is broken is being undone · {text}"
    broken = [fault.name for fault in snapshot.faults if fault.ended is None]
    return status(f"{text} · broken now: {', '.join(broken) or 'nothing'}")


def events(of: Sequence["Event"]) -> str:
    """The last of them, the newest first."""
    rows = [
        f"<li>{clock(event.time)} <b>{escape(event.kind)}</b> {escape(event.text)}</li>"
        for event in reversed(of[-EVENTS:])
    ]
    if not rows:
        return ""
    return _box("Events", f'<ul style="margin:0;padding-left:1.2em">{"".join(rows)}</ul>')


def criteria(table: "pd.DataFrame") -> str:
    """What was promised, what was measured, and whether it holds."""
    if table.empty:
        return "<p>Nothing was promised.</p>"
    rows = "".join(_criterion(row) for row in table.to_dict("records"))
    heads = "".join(
        f'<th scope="col" style="text-align:left;padding:2px 12px">{name}</th>'
        for name in ("Criterion", "Required", "Measured", "Outcome")
    )
    return (
        '<table style="border-collapse:collapse"><caption style="text-align:left">Criteria'
        f"</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def journal(entries: Sequence["Entry"]) -> str:
    """What is to be undone at a platform."""
    if not entries:
        return status("Undo journal: empty. Nothing is broken.", "good")
    rows = [
        f"{entry.fault} since {clock(entry.began)}, "
        + (
            f"by a run that goes on; undone at {clock(entry.until)} at the latest"
            if entry.held
            else "left by a run that is gone"
        )
        for entry in entries
    ]
    return status(f"Undo journal: to be undone: {'; '.join(rows)}", "bad")


def clock(moment: float) -> str:
    """Hours, minutes and seconds, UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(moment))


def _criterion(row: Any) -> str:
    passed = row["passed"]
    known = passed is not None and passed == passed
    word = ("✓ passed" if passed else "✗ failed") if known else "? not known"
    colour = (GOOD if passed else BAD) if known else UNKNOWN
    value, note = float(row["measured"]), row["note"] or ""
    figure = "nothing" if math.isnan(value) else f"{value:.4g} {row['unit'] or ''}".strip()
    if math.isinf(value):
        figure = "never"
    measured = figure + (f" ({note})" if note else "")
    cells = [row["criterion"], row["required"], measured]
    texts = "".join(f'<td style="padding:2px 12px">{escape(str(cell))}</td>' for cell in cells)
    return f'<tr>{texts}<td style="padding:2px 12px;color:{colour}">{word}</td></tr>'


def _box(label: str, content: str) -> str:
    """Something that scrolls: by the keyboard too."""
    return f'<div role="region" aria-label="{label}" tabindex="0" style="{BOX}">{content}</div>'
