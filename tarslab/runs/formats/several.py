"""Several runs in one table: which rows are of which run, and what its columns say of each."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tarslab.runs.formats.columns import Rows, plain
from tarslab.runs.identity import ALGO_KEYS, ENV_KEYS, SEED_KEYS

# The values of these may name the runs by themselves.
RUN_NAMES = (
    *("run", "run_name", "trial_name", "experiment_name", "run_id", "runid", "trial_id", "trial"),
    *("experiment_tag", "experiment", "exp", "dir_name", "name"),
)
# Columns that tell runs apart, in the order in which their values make up the name of a run. They
# hold words, but for those in NUMBERED.
RUN_COLUMNS = (
    *("exp_name", *ALGO_KEYS, "agent", "method", "variant", *ENV_KEYS, "task", "game"),
    *(*RUN_NAMES, "worker", *SEED_KEYS),
)
NUMBERED = {"run", "run_id", "runid", "trial", "trial_id", "experiment", "exp", "worker"} | {
    *SEED_KEYS
}
# Two values of these are two runs. Those of the others are only where the steps would not go on
# without them, since one run may meet several environments.
ALWAYS_RUNS = {*RUN_NAMES, "exp_name", *SEED_KEYS} - {"name"}
# More values than this, while the steps go on without them, are of episodes and not of runs.
MANY = 20

CONFIG_COLUMN = re.compile(r"(?:config|hp|hparams|hyperparameters)[/.](.+)")

Kinds = tuple[NDArray[np.intp], list[Any]]


class Part(NamedTuple):
    """The rows of one run."""

    name: str
    """'' where the table is of one run."""
    config: dict[str, Any]
    rows: Rows
    """Without the columns that went into ``config`` or tell runs apart."""


def split(rows: Rows, metric: str | None = None) -> Iterator[Part]:
    """The runs in a table, in order of appearance; ``metric`` is the column of a long one."""
    about = _about_runs(rows, metric)
    config = {name: match[1] for name in rows.columns if (match := CONFIG_COLUMN.fullmatch(name))}
    if not about and not config:
        yield Part("", {}, rows)
        return
    kinds = {key: rows.columns[name].kinds() for key, name in about.items()}
    metrics = np.zeros(len(rows.step), np.intp)
    if metric is not None:
        metrics = rows.columns[metric].kinds()[0]
    keys = _keys(rows.step, kinds, metrics)
    codes = _together([kinds[key][0] for key in keys], len(rows.step))
    for places in groups(codes):
        name = "/".join(_name(key, kinds[key][1][kinds[key][0][places[0]]]) for key in keys)
        yield _part(name, rows.take(places) if keys else rows, about, config)


def tells_of_runs(column: str) -> bool:
    """Whether a column of this name says something of runs and holds no metric."""
    match = CONFIG_COLUMN.fullmatch(column)
    return match is not None or plain(column) in RUN_COLUMNS


def groups(codes: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The places of each value, in order of the values' first appearance."""
    if not len(codes):
        return []
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    return sorted(parts, key=lambda places: int(places[0]))


def go_on(step: NDArray[np.int64], codes: NDArray[np.intp]) -> bool:
    """Whether the steps of each value go on, or all go back, and none repeats."""
    order = np.argsort(codes, kind="stable")
    change = np.diff(step[order])[np.diff(codes[order]) == 0]
    return bool(np.all(change > 0) or np.all(change < 0))


def _about_runs(rows: Rows, metric: str | None) -> dict[str, str]:
    """The columns that may tell runs apart, by their plain names."""
    found = {}
    for name in reversed([*rows.columns]):
        match = CONFIG_COLUMN.fullmatch(name)
        key = plain(match[1] if match else name)
        if key not in RUN_COLUMNS or name == metric or (match and key in found):
            continue
        column = rows.columns[name]
        if column.words or (key in NUMBERED and column.numbers):
            found[key] = name
    return {key: found[key] for key in RUN_COLUMNS if key in found}


def _keys(
    step: NDArray[np.int64], kinds: Mapping[str, Kinds], metrics: NDArray[np.intp]
) -> list[str]:
    """The columns whose values together name the runs; none where there is one run."""
    n = len(step)
    varying = {key: len(values) for key, (_, values) in kinds.items() if len(values) > 1}
    goes_on = go_on(step, metrics)
    always = [
        key
        for key, count in varying.items()
        if key in ALWAYS_RUNS
        and "" not in kinds[key][1]
        and count <= n // 2
        and (count <= MANY or not goes_on)
    ]
    codes = _together([kinds[key][0] for key in always], n)
    goes_on = go_on(step, _together([codes, metrics], n))
    few_steps = len(np.unique(step)) <= n // 2
    keys = [
        key
        for key, count in varying.items()
        if key in always
        or (not goes_on and (count <= n // 2 or few_steps))
        or _follows(kinds[key][0], codes)
    ]
    runs = len(np.unique(_together([kinds[key][0] for key in keys], n)))
    return next(([key] for key in RUN_NAMES if key in keys and varying[key] == runs), keys)


def _follows(codes: NDArray[np.intp], of: NDArray[np.intp]) -> bool:
    """Whether a value of ``of`` says which value of ``codes`` stands in the same row."""
    return len(np.unique(of)) == len(np.unique(_together([of, codes], len(of))))


def _together(codes: Sequence[NDArray[np.intp]], n: int) -> NDArray[np.intp]:
    """One code for each combination."""
    together = np.zeros(n, np.intp)
    for more in codes:
        pairs = together * (more.max(initial=0) + 1) + more
        together = np.unique(pairs, return_inverse=True)[1]
    return together


def _part(name: str, rows: Rows, about: Mapping[str, str], config: Mapping[str, str]) -> Part:
    stated: dict[str, Any] = {}
    columns = dict(rows.columns)
    for key, column in [*about.items(), *((key, column) for column, key in config.items())]:
        if column not in columns:
            continue
        values = [value for value in columns[column].kinds()[1] if value != ""]
        if len(values) == 1:
            del columns[column]
            if key not in RUN_NAMES and key != "worker":
                stated.setdefault(key.replace("/", "."), _value(values[0]))
    return Part(name, stated, rows._replace(columns=columns))


def _name(key: str, value: Any) -> str:
    value = _value(value)
    if isinstance(value, str):
        # The path of a folder may begin at the root of some other machine.
        return value.strip("/") or f"no_{key}"
    return f"{'seed' if key in SEED_KEYS else key}_{value}"


def _value(value: Any) -> Any:
    """A cell of a configuration: truth values and whole numbers as such."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return {"True": True, "False": False, "true": True, "false": False}.get(value, value)
