"""Ray Tune's event files, as its ``result.json`` would have it.

Tune writes every number of a result under ``ray/tune/<tag>``, at the step ``timesteps_total``, or
at the iteration where there is none, as in RLlib's new stack. The environment steps stand beside it
as one of the numbers.

Source: ray/tune/logger/tensorboardx.py.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tarslab.runs.recording import Series
from tarslab.runs.vocabulary import RAY_PREFIX, RAY_STEPS


def as_in_result_json(series: Mapping[str, Series]) -> dict[str, Series]:
    """The series of an event file by the tags, and at the environment steps, of ``result.json``.

    Series without the prefix ``ray/tune/`` stay as they are, and so do the steps where none of them
    counts the environment's. Steps above 2**24 are as exact as the 32-bit number they were
    written as.
    """
    prefixed = {tag.removeprefix(RAY_PREFIX): one for tag, one in series.items() if _is_ray(tag)}
    if not prefixed:
        return dict(series)
    counters = (prefixed[tag] for tag in RAY_STEPS if tag in prefixed)
    counter = next((one for one in counters if np.isfinite(one.value).all()), None)
    plain = {tag: one for tag, one in series.items() if not _is_ray(tag)}
    found = dict(plain)
    for tag, one in prefixed.items():
        name = tag if tag not in plain else f"{RAY_PREFIX}{tag}"
        if one is counter:
            continue
        found[name] = one if counter is None else one._replace(step=_counted(one, counter))
    return found


def _counted(one: Series, counter: Series) -> NDArray[np.int64]:
    """What the counter said when each point was written.

    A resumed trial may write an iteration again: then the time tells which of them it was.
    """
    if np.array_equal(one.step, counter.step):
        return counter.value.astype(np.int64)
    points = pd.DataFrame({"step": one.step, "time": one.wall_time, "place": range(one.points)})
    counts = pd.DataFrame(
        {"step": counter.step, "time": counter.wall_time, "count": counter.value.astype(np.int64)}
    )
    counted = pd.merge_asof(
        points.sort_values("time", kind="stable"),
        counts.sort_values("time", kind="stable"),
        on="time",
        by="step",
        direction="nearest",
    ).sort_values("place")
    known = counted["count"].notna().to_numpy()
    # An iteration without a count, as in a file that was cut, lies between its neighbours.
    order = np.argsort(counter.step, kind="stable")
    between = np.interp(one.step, counter.step[order], counter.value[order])
    return np.where(known, counted["count"].fillna(0), between).astype(np.int64)


def _is_ray(tag: str) -> bool:
    return tag.startswith(RAY_PREFIX)
