"""How much each hyperparameter matters to an objective."""

import altair as alt
import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution

from tarslab.charts import theme
from tarslab.charts.algorithms import counted, heading, percent
from tarslab.charts.bars import ROW_HEIGHT, bar_records
from tarslab.charts.slicing import objective_title
from tarslab.charts.synthetic import says_so
from tarslab.charts.trials import categories, is_log
from tarslab.errors import BadArgument
from tarslab.studies import Study
from tarslab.studies.study import Method

METHODS = {"ped-anova": "PED-ANOVA", "fanova": "fANOVA", "mdi": "Mean decrease in impurity"}
BARS = {
    "ped-anova": "Bars: shares in what sets the best tenth of the trials apart",
    "fanova": "Bars: shares in the variance that hyperparameters explain one by one",
    "mdi": "Bars: shares in the variance that the splits of a random forest take away",
}


def param_importance_data(
    study: Study,
    *,
    method: Method = "ped-anova",
    objective: int | str = 0,
    bootstrap: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The numbers behind ``param_importance``, of all hyperparameters that can be judged.

    Returns
    -------
    DataFrame
        ``parameter``, ``importance`` (they sum to 1), ``low`` and ``high`` (NaN without bootstrap),
        ``searched`` (its range or categories) and ``trials`` (how many of those judged have it),
        the most important first.
    """
    table = study.importance(
        method, objective=objective, bootstrap=bootstrap, confidence=confidence, seed=seed
    )
    judged = _judged(study, objective)
    return table.assign(
        searched=[searched(study.parameters[name]) for name in table["parameter"]],
        trials=[
            sum(name in study.frozen[row].params for row in judged) for name in table["parameter"]
        ],
    )


@says_so
def param_importance(
    study: Study,
    *,
    method: Method = "ped-anova",
    objective: int | str = 0,
    top: int = 10,
    bootstrap: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> alt.LayerChart:
    """How much each hyperparameter matters to an objective: bars, the most important first.

    A line across the end of a bar is its bootstrap interval. That of a small importance may lie
    above the bar: importances are never negative, so that the noise which resampling adds can only
    raise them.

    Parameters
    ----------
    study
        A study with at least two complete trials.
    method
        ``"ped-anova"`` (default), ``"fanova"`` or ``"mdi"``: as in ``Study.importance``.
    objective
        Its place or name, default the first.
    top
        At most so many bars, default 10; the rest is counted above the chart.
    bootstrap
        How often the trials are drawn again for the intervals, default 100; 0 for none. A fit of
        fANOVA takes about 10 s with 1,000 trials: draw fewer there.
    confidence, seed
        Of the percentile intervals, default 95 %; the same seed draws the same chart.

    Raises
    ------
    NoTrials
        Fewer than two complete trials, or no hyperparameter that varies among them.
    BadArgument
        An argument is out of its range.

    References
    ----------
    Watanabe, Bansal, Hutter: PED-ANOVA, IJCAI 2023. Hutter, Hoos, Leyton-Brown: An efficient
    approach for assessing hyperparameter importance, ICML 2014.
    """
    if top < 1 or top != int(top):
        raise BadArgument(f"top must be a whole number of at least 1, not {top!r}")
    table = param_importance_data(
        study,
        method=method,
        objective=objective,
        bootstrap=bootstrap,
        confidence=confidence,
        seed=seed,
    )
    shown = table.head(int(top))
    shown = shown.assign(end=np.fmax(shown["high"], shown["importance"]))
    names = shown["parameter"].tolist()
    title = f"importance for {objective_title(study, objective)}"
    has_intervals = bool(shown["low"].notna().any())
    number = ".3~g"
    tooltip = [
        alt.Tooltip("parameter:N", title="hyperparameter"),
        alt.Tooltip("importance:Q", format=number),
        alt.Tooltip("searched:N", title="searched"),
        alt.Tooltip("trials:Q", title="trials with it", format=","),
    ]
    if has_intervals:
        tooltip[2:2] = [
            alt.Tooltip("low:Q", title="low", format=number),
            alt.Tooltip("high:Q", title="high", format=number),
        ]
    # Room for the number behind the longest bar.
    scale = alt.Scale(domain=[0, 1.1 * float(shown["end"].max())], nice=False)
    share = alt.X("importance:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))
    base = alt.Chart(bar_records(shown)).encode(
        y=alt.Y(
            "parameter:N",
            sort=names,
            title=None,
            axis=alt.Axis(
                ticks=False, domain=False, labelLimit=220, labelPadding=6, labelOverlap=False
            ),
        ),
        tooltip=tooltip,
    )
    layers = [base.mark_bar(color=theme.PALETTE[0], height=15, opacity=0.85).encode(x=share)]
    if has_intervals:
        known = base.transform_filter("isValid(datum.low)")
        line = known.mark_rule(color=theme.INK, strokeWidth=1.4)
        cap = known.mark_tick(color=theme.INK, thickness=1.4, size=8)
        layers += [
            line.encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"),
            cap.encode(x=alt.X("low:Q", title=title, scale=scale)),
            cap.encode(x=alt.X("high:Q", title=title, scale=scale)),
        ]
    text = base.mark_text(align="left", dx=6, color=theme.INK, fontSize=11, aria=False)
    layers.append(
        text.encode(
            x=alt.X("end:Q", title=title, scale=scale),
            text=alt.Text("importance:Q", format=".2f"),
        )
    )
    return alt.LayerChart(
        layer=layers,
        width="container",
        height=alt.Step(ROW_HEIGHT),
        title=heading(
            _note(table, shown, method, len(_judged(study, objective)), confidence, bootstrap)
        ),
        description=f"Bar chart of the {title} of hyperparameters: "
        + ", ".join(f"{row.parameter} {row.importance:.2f}" for row in shown.itertuples()),
    )


def searched(distribution: BaseDistribution) -> str:
    """The range or the categories of a hyperparameter, in words."""
    if words := categories(distribution):
        return ", ".join(words[:12]) + (", ..." if len(words) > 12 else "")
    low, high = (getattr(distribution, end) for end in ("low", "high"))
    return f"{low:g} to {high:g}" + (", logarithmic" if is_log(distribution) else "")


def _judged(study: Study, objective: int | str) -> list[int]:
    """The rows of the trials that importances are made from."""
    values = study.trials[study.objective(objective)[0]]
    complete = study.trials["state"] == "COMPLETE"
    return [int(row) for row in np.flatnonzero(complete & np.isfinite(values))]


def _note(
    table: pd.DataFrame,
    shown: pd.DataFrame,
    method: Method,
    trials: int,
    confidence: float,
    bootstrap: int,
) -> list[str]:
    lines = [f"{METHODS[method]} of {counted(trials, 'complete trial')}. {BARS[method]}"]
    if shown["low"].notna().any():
        lines.append(
            f"Lines: {percent(confidence)} bootstrap intervals, "
            f"from {counted(int(bootstrap), 'resample')} of the trials"
        )
        if (shown["low"] > shown["importance"]).any():
            lines.append(
                "An interval above its bar: the noise of resampling, which can only raise what "
                "is near 0"
            )
    if rest := len(table) - len(shown):
        share = table["importance"].iloc[len(shown) :].sum()
        lines.append(f"Not drawn: {counted(rest, 'other')}, together {share:.2f}")
    return lines
