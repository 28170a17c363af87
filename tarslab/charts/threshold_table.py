"""What was promised, what was measured, and whether it holds: a table, drawn."""

import textwrap
from typing import TYPE_CHECKING, Any, TypeAlias

import altair as alt
import pandas as pd

from tarslab.charts import theme
from tarslab.charts.algorithms import heading
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos import ExperimentResult
    from tarslab.chaos.load import LoadResult

Promised: TypeAlias = "LoadResult | ExperimentResult | pd.DataFrame"

MEASURED = "measured"
COLUMNS = ["criterion", "required", "part", "measured", "passed", "note"]
# Outlines of the marks, in a square from -1 to 1.
MARKS = {
    "holds": "M-0.9,0L-0.25,0.7L0.95,-0.75",
    "does not hold": "M-0.7,-0.7L0.7,0.7M-0.7,0.7L0.7,-0.7",
    "not known": "M-0.7,0L0.7,0",
}
COLOURS = {
    "holds": theme.PALETTE[2],
    "does not hold": theme.PALETTE[1],
    "not known": theme.PALETTE[6],
}
# Where columns begin, as shares of the width; those of parts go on to the right edge, and a single
# one leaves more room for what is required.
REQUIRED, PARTS, ONLY = 0.38, 0.51, 0.57
ROW, LINE, LETTERS = 36, 13, 33


def threshold_table_data(result: Promised) -> pd.DataFrame:
    """The numbers behind ``threshold_table``, a row for each criterion and part of the run.

    Returns
    -------
    DataFrame
        ``criterion``, ``required`` (``< 500``), ``part`` (of load ``run``, ``worst 10 s``, and with
        a fault ``before``, ``during`` and ``after``; of an experiment ``measured``), ``measured``
        (NaN where nothing was), ``passed`` (None where that cannot be said) and ``note``.
    """
    if isinstance(result, pd.DataFrame):
        return _of_criteria(result)
    if hasattr(result, "criteria"):
        return _of_criteria(result.criteria)
    rows = []
    for row in result.thresholds.to_dict("records"):
        held = bool(row["held"]) and bool(row["held_at_worst"])
        note = ""
        if row["held"] and not held:
            note = "only if the arrivals that were dropped had been answered"
        method, sign, limit = _split(row["threshold"])
        criterion = f"{row['metric']} {method}"
        rows.append((criterion, f"{sign} {limit}", row["part"], row["value"], held, note))
    return pd.DataFrame(rows, columns=COLUMNS).astype({"measured": "float64", "passed": object})


def threshold_table(result: Promised) -> alt.LayerChart:
    """A row for each promise: what is required, what was measured, and a mark whether it holds.

    Of load there is a column for the whole run, on which the verdict rests, for the phases before,
    during and after a fault where there was one, and for the window that did worst.

    Parameters
    ----------
    result
        A run of load, an experiment, or the criteria of one as a table.

    Raises
    ------
    BadArgument
        A table lacks one of the columns criterion, required, measured and passed.
    """
    table = threshold_table_data(result)
    criteria = list(dict.fromkeys(zip(table["criterion"], table["required"], strict=True)))
    parts = list(dict.fromkeys(table["part"]))
    # The run first, then in the order of time.
    order = {part: place for place, part in enumerate(("run", "before", "during", "after"))}
    parts.sort(key=lambda part: order.get(part, len(order)))
    layers = [_rules(len(criteria)), *_promises(criteria, parts)]
    if len(table):
        layers += _outcomes(table, criteria, parts)
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=ROW * (len(criteria) + 1),
        title=heading(_note(result, table)),
        description=_description(table),
    )


def _of_criteria(criteria: pd.DataFrame) -> pd.DataFrame:
    for column in ("criterion", "required", "measured", "passed"):
        if column not in criteria:
            raise BadArgument(f"result: a table of criteria has a column {column}")
    table = criteria.assign(part=MEASURED)
    if "note" not in table:
        table["note"] = ""
    # A share says by its size that it is one.
    unit = table["unit"].fillna("").replace("share", "") if "unit" in table else ""
    table["required"] = (table["required"].astype(str) + " " + unit).str.strip()
    passed = [_known(each) for each in table["passed"]]
    table = table[COLUMNS].assign(passed=pd.Series(passed, dtype=object, index=table.index))
    return table.astype({"measured": "float64"}).reset_index(drop=True)


def _known(passed: Any) -> bool | None:
    return None if pd.isna(passed) else bool(passed)


def _split(threshold: str) -> tuple[str, str, str]:
    """``p(95)<500`` as ``p(95)``, ``<`` and ``500``."""
    at = next(place for place, letter in enumerate(threshold) if letter in "<>=!")
    end = next(place for place in range(at, len(threshold)) if threshold[place] not in "<>=!")
    return threshold[:at].strip(), threshold[at:end], threshold[end:].strip()


def _x() -> alt.X:
    """Shares of the width, so that the table follows it."""
    return alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None)


def _y(rows: int) -> alt.Y:
    return alt.Y("y:Q", scale=alt.Scale(domain=[rows, -1], nice=False, zero=False), axis=None)


def _rules(rows: int) -> alt.Chart:
    records = [{"y": row, "x": 0, "x2": 1} for row in range(rows + 1)]
    rules: alt.Chart = (
        alt.Chart(alt.InlineData(values=records))
        .mark_rule(color="#E6E6E6")
        .encode(x=_x(), x2="x2:Q", y=_y(rows))
    )
    return rules


def _promises(criteria: list[tuple[str, str]], parts: list[str]) -> list[alt.Chart]:
    """The heads of the columns, and the two columns on the left."""
    heads = [("criterion", 0.0), ("required", REQUIRED)]
    heads += [(part, _at(place, parts)) for place, part in enumerate(parts)]
    records: list[dict[str, Any]] = [
        {"text": text, "x": x, "y": -0.5, "head": True} for text, x in heads
    ]
    for row, (criterion, required) in enumerate(criteria):
        lines = textwrap.wrap(criterion, LETTERS, break_long_words=False) or [""]
        if len(lines) > 2:
            lines = [lines[0], textwrap.shorten(" ".join(lines[1:]), LETTERS, placeholder=" …")]
        for place, line in enumerate(lines):
            shift = (place - (len(lines) - 1) / 2) * LINE / ROW
            texts = {"text": line, "x": 0.0, "y": row + 0.5 + shift, "full": criterion}
            records.append(texts | {"head": False})
        records.append({"text": required, "x": REQUIRED, "y": row + 0.5, "head": False})
    base = alt.Chart(alt.InlineData(values=records)).encode(
        x=_x(), y=_y(len(criteria)), text="text:N"
    )
    words: dict[str, Any] = {"align": "left", "baseline": "middle"}
    return [
        base.transform_filter("datum.head").mark_text(**words, fontSize=11, color=theme.QUIET),
        base.transform_filter("!datum.head")
        .mark_text(**words, fontSize=12, color=theme.INK)
        .encode(tooltip=alt.Tooltip("full:N", title="criterion")),
    ]


def _outcomes(
    table: pd.DataFrame, criteria: list[tuple[str, str]], parts: list[str]
) -> list[alt.Chart]:
    """A mark and a figure in each cell."""
    records = []
    for row in table.to_dict("records"):
        text, note = _figure(row["measured"]), row["note"]
        if note:
            text += f" ({note})" if row["part"] == MEASURED else "*"
        state = {True: "holds", False: "does not hold", None: "not known"}[row["passed"]]
        records.append(
            {
                "criterion": row["criterion"],
                "required": row["required"],
                "part": row["part"],
                "text": text,
                "state": state,
                "note": note,
                "x": _at(parts.index(row["part"]), parts),
                "y": criteria.index((row["criterion"], row["required"])) + 0.5,
            }
        )
    base = alt.Chart(alt.InlineData(values=records)).encode(
        x=_x(),
        y=_y(len(criteria)),
        tooltip=[
            alt.Tooltip("criterion:N", title="criterion"),
            alt.Tooltip("required:N", title="required"),
            alt.Tooltip("part:N", title="part"),
            alt.Tooltip("text:N", title="measured"),
            alt.Tooltip("state:N", title="it"),
            alt.Tooltip("note:N", title="note"),
        ],
    )
    states = list(MARKS)
    mark = base.mark_point(size=90, strokeWidth=2.2, filled=False, opacity=1, xOffset=5).encode(
        shape=alt.Shape(
            "state:N",
            scale=alt.Scale(domain=states, range=list(MARKS.values())),
            legend=None,
        ),
        color=alt.Color(
            "state:N",
            scale=alt.Scale(domain=states, range=list(COLOURS.values())),
            legend=None,
        ),
    )
    share = 1 - ONLY if len(parts) == 1 else (1 - PARTS) / len(parts)
    room = alt.ExprRef(f"{share:.3f} * width - 15")
    text = base.mark_text(
        align="left", baseline="middle", dx=15, fontSize=12, limit=room, color=theme.INK
    )
    return [mark, text.encode(text="text:N")]


def _at(place: int, parts: list[str]) -> float:
    return ONLY if len(parts) == 1 else PARTS + (1 - PARTS) * place / len(parts)


def _figure(value: float) -> str:
    if value != value:
        return "no data"
    if abs(value) == float("inf"):
        return "never" if value > 0 else "-∞"
    if 0 < abs(value) < 0.1:
        # In no more places than there is room for.
        return f"{value:.3f}".rstrip("0") if abs(value) >= 5e-4 else f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _note(result: Promised, table: pd.DataFrame) -> list[str]:
    lines = []
    if hasattr(result, "verdict"):
        lines.append(f"{result.about.name}: {result.verdict}")
    if table.empty:
        return [*lines, "Nothing was promised: the scenario has no thresholds"]
    if hasattr(result, "thresholds"):
        lines.append("Times in ms; the verdict rests on the whole run alone")
    noted = list(dict.fromkeys(note for note in table["note"] if note))
    if hasattr(result, "thresholds") and noted:
        lines.append(f"*: {noted[0]}")
    return lines


def _description(table: pd.DataFrame) -> str:
    """For those who do not see it."""
    if table.empty:
        return "Table of thresholds: there are none"
    words = {True: "holds", False: "does not hold", None: "is not known"}
    rows = [
        f"{row['criterion']} {row['required']} {row['part']}: {_figure(row['measured'])}, "
        f"{words[row['passed']]}"
        for row in table[~table["part"].str.startswith("worst")].to_dict("records")
    ]
    return "Table of thresholds. " + "; ".join(rows[:20])
