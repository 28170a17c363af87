"""Tables as recordings: the one place where columns and rows become runs and series.

A reader of any format that comes down to a table (CSV, Parquet, JSON lines) makes a
``pyarrow.Table`` of it and calls ``recordings``. There a null and an empty text are a cell that
was not logged, NaN and infinity are values, numbers may also stand as text, and text that is no
number is no metric. What kind of table it is, the columns say:

wide
    one column a metric, one row a step
long
    one row a point: a column that names the metric, and a column ``value``; ``Runs.scalars`` too
several runs
    either of these, with columns such as ``run``, ``seed`` or ``algo`` that tell the rows apart
a chart of Weights & Biases
    columns ``<run> - <metric>`` with their ``__MIN`` and ``__MAX``
scalars of TensorBoard
    ``Wall time,Step,Value``, with run and tag in the file name
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tarslab.errors import BadLog
from tarslab.runs.formats.columns import Column, Rows, columns_of, plain
from tarslab.runs.formats.several import go_on, groups, split, tells_of_runs
from tarslab.runs.recording import Recording, Series
from tarslab.runs.vocabulary import VOCABULARY

# In order of preference. Names of columns are compared without regard to case, a space as "_".
STEP_COLUMNS = (
    *("time/total_timesteps", "num_env_steps_sampled_lifetime"),
    *("env_runners/num_env_steps_sampled_lifetime", "timesteps_total", "num_env_steps_sampled"),
    *("global_step", "total_timesteps", "misc/total_timesteps", "total/steps"),
    *("totalenvinteracts", "totalenvsteps", "exploration/num_steps_total", "total_env_steps"),
    *("counters/total_frames", "env_steps", "env_step", "training/env_step", "train/env_step"),
    *("environment_steps", "total_num_steps", "total_steps", "total_step", "num_timesteps"),
    *("timesteps", "timestepssofar", "timestep", "actor_steps", "total_frames", "frames"),
    *("step", "steps", "_step", "frame", "training_iteration", "iteration"),
    *("episode", "episodes"),
)
WALL_TIME_COLUMNS = ("wall_time", "_timestamp", "timestamp", "walltime", "datetime")

METRIC_COLUMNS = ("metric", "tag", "metric_name", "key", "variable", "name")
VALUE_COLUMNS = ("value", "metric_value")
# The columns of Runs.scalars, where a missing value is NaN.
OWN_COLUMNS = {"run", "metric", "step", "wall_time", "value"}

# These change when a run is resumed or moved, and tell no runs apart.
OF_THE_PROCESS = {"experiment_id", "hostname", "node_ip", "pid", "date"}
# Bookkeeping of Weights & Biases.
NO_METRICS = {"_step", "_runtime", "_timestamp"}

CHART_COLUMN = re.compile(r"(?:Group: )?(?P<run>.+) - (?P<metric>.+)")
TENSORBOARD_COLUMNS = {"wall_time", "step", "value"}
# Browsers number the copies of a download.
DOWNLOAD = re.compile(r"run-(?P<run>.+?)-tag-(?P<tag>.+?)(?: ?\(\d+\))?\.csv(?:\.gz)?")


def recordings(
    source: PurePath, format: str, table: pa.Table, wanted: Collection[str] | None = None
) -> list[Recording]:
    """The runs in a table: one Recording each, at least one.

    ``source`` is the file, for messages, and for run and tag where it is TensorBoard's download;
    ``format`` is the reader's NAME; ``wanted`` are the only tags that will be used, None for all.
    ``Recording.run`` is '' where the table is one run, else what its columns say; ``config`` is
    what they say of algorithm, environment and seed, and columns ``config/<name>`` that do not
    change. Rows without a step are left out, with a warning in the first Recording.

    Raises BadLog where there is no step column, where its numbers are not whole, and where rows
    of several runs or metrics cannot be told apart.
    """
    return of_columns(source, format, columns_of(table), wanted)


def of_columns(
    source: PurePath,
    format: str,
    columns: Mapping[str, Column],
    wanted: Collection[str] | None = None,
) -> list[Recording]:
    """``recordings`` for the columns of a table."""
    table = _Table(source, wanted)
    found = [Recording(format, *run) for run in table.runs(columns)] or [Recording(format)]
    found[0].warnings += table.warnings
    return found


def of_files(
    format: str, paths: Iterable[Path], read: Callable[[Path], list[Recording]]
) -> list[Recording]:
    """The runs in some files, what several say of one run put together.

    A file of which ``read`` raises BadLog costs only itself.
    """
    runs: dict[str, Recording] = {}
    for path in paths:
        try:
            found = read(path)
        except BadLog as error:
            found = [Recording(format, warnings=[str(error)])]
        for more in found:
            known = runs.setdefault(more.run, more)
            if known is more:
                continue
            for tag, series in more.series.items():
                before = [known.series[tag]] if tag in known.series else []
                known.series[tag] = Series.joined([*before, series])
            known.config |= more.config
            known.warnings += more.warnings
    return list(runs.values())


def tells_of_rows(name: str) -> bool:
    """Whether a column of this name is read whatever tags are wanted."""
    known = {*STEP_COLUMNS, *WALL_TIME_COLUMNS, *METRIC_COLUMNS, *VALUE_COLUMNS}
    return plain(name) in known or tells_of_runs(name) or CHART_COLUMN.fullmatch(name) is not None


def has_steps(names: Iterable[str]) -> bool:
    """Whether a table with columns of these names can be read."""
    return any(plain(name) in STEP_COLUMNS or name.strip().endswith(" - _step") for name in names)


def downloaded(path: PurePath) -> re.Match[str] | None:
    """Run and tag in the name of a file that TensorBoard's page gave."""
    return DOWNLOAD.fullmatch(path.name)


class Run(NamedTuple):
    """One run, in the order of Recording's fields."""

    name: str
    series: dict[str, Series]
    config: dict[str, Any]


@dataclass
class _Table:
    source: PurePath
    wanted: Collection[str] | None
    warnings: list[str] = field(default_factory=list)

    def runs(self, columns: Mapping[str, Column]) -> Iterator[Run]:
        if charted := _charted(columns):
            for name, of_run in charted.items():
                yield Run(name, self.wide(self.stepped(of_run)), {})
            return
        rows = self.stepped(columns)
        names = {plain(name): name for name in columns}
        download = downloaded(self.source)
        long = _long_columns(rows.columns)
        own = names.keys() == OWN_COLUMNS
        if download and names.keys() == TENSORBOARD_COLUMNS:
            run = "" if download["run"] == "." else download["run"]
            (value,) = rows.columns.values()
            tag = _with_slashes(download["tag"])
            yield Run(run, self.wide(rows._replace(columns={tag: value})), {})
        elif long and own and columns[names["run"]].words:
            # However few its rows are, and be it the only one, each run has its name.
            codes, runs = rows.columns[names["run"]].labels()
            for places in groups(codes):
                run = runs[codes[places[0]]]
                yield Run(run, self.long(rows.take(places), *long, missing_is_nan=True), {})
        elif long:
            self.name_left_out(rows, long)
            for part in split(rows, long[0]):
                yield Run(part.name, self.long(part.rows, *long, missing_is_nan=own), part.config)
        else:
            for part in split(rows):
                self.refuse_several_runs(part.rows)
                yield Run(part.name, self.wide(part.rows), part.config)

    def stepped(self, columns: Mapping[str, Column]) -> Rows:
        """The rows that have a step, and the columns that are neither step nor time."""
        step_name = _first(columns, STEP_COLUMNS)
        if step_name is None:
            raise BadLog(
                f"{self.source}: no step column among {', '.join([*columns][:20])}; "
                f"name one of the columns {', '.join(STEP_COLUMNS)}"
            )
        wall_name = _first(columns, WALL_TIME_COLUMNS, words=True)
        step = columns[step_name].number
        stepped = np.abs(step) < 2**63
        if not stepped.all():
            self.warnings.append(
                f"{self.source}: {int((~stepped).sum())} rows without a number in {step_name}, "
                f"the first in row {int(np.argmin(stepped)) + 2}; they were left out"
            )
            places = np.flatnonzero(stepped)
            step = step[places]
            columns = {name: column.take(places) for name, column in columns.items()}
        whole = step.astype(np.int64)
        if np.any(whole != step):
            raise BadLog(
                f"{self.source}: column {step_name} holds fractions; steps are whole numbers"
            )
        wall_time = np.full(len(step), np.nan) if wall_name is None else _unix(columns[wall_name])
        taken = {step_name, wall_name, *NO_METRICS}
        others = {name: column for name, column in columns.items() if name not in taken}
        return Rows(whole, wall_time, others)

    def wide(self, rows: Rows) -> dict[str, Series]:
        """One series a column that holds numbers."""
        rows = _oldest_first(rows)
        series = {}
        for name, column in rows.columns.items():
            if (self.wanted is not None and name not in self.wanted) or not column.numbers:
                continue
            if column.numeric is None:
                series[name] = Series(rows.step, rows.wall_time, column.number)
            else:
                self.name_words(name, column.words)
                series[name] = Series(rows.step, rows.wall_time, column.number).take(column.numeric)
        return series

    def long(
        self, rows: Rows, metric: str, value: str, *, missing_is_nan: bool = False
    ) -> dict[str, Series]:
        """One series a value of the column ``metric``."""
        codes, tags = rows.columns[metric].labels()
        series = {}
        for places in groups(codes):
            tag = tags[codes[places[0]]]
            if not tag or (self.wanted is not None and tag not in self.wanted):
                continue
            of_tag = rows.columns[value].take(places)
            if of_tag.numeric is not None and not missing_is_nan:
                if not of_tag.numbers:
                    continue
                self.name_words(value, of_tag.words)
                places = places[of_tag.numeric]
            if not go_on(rows.step[places], np.zeros(len(places), np.intp)):
                self.refuse_several_runs(rows.take(places))
            columns = {tag: rows.columns[value]}
            one = _oldest_first(rows._replace(columns=columns).take(places))
            series[tag] = Series(one.step, one.wall_time, one.columns[tag].number)
        return series

    def name_words(self, column: str, words: int) -> None:
        if words:
            self.warnings.append(
                f"{self.source}: {words} cells of column {column} are not numbers; "
                "they were left out"
            )

    def name_left_out(self, rows: Rows, long: tuple[str, str]) -> None:
        others = [
            name
            for name, column in rows.columns.items()
            if name not in long and column.numbers and not tells_of_runs(name)
        ]
        if others:
            self.warnings.append(
                f"{self.source}: with one row a point, the values are those of column {long[1]}; "
                f"{', '.join(others)} left out"
            )

    def refuse_several_runs(self, rows: Rows) -> None:
        """BadLog where a column of words tells several runs or metrics apart that are mixed.

        While the steps of the whole table go back or repeat, such a column repeats its values and
        the steps of each go on; as one run, or as runs of each value, they might be misread. Or
        it names a run in every row, as tables of final results do.
        """
        words = {
            name: column
            for name, column in rows.columns.items()
            if column.cells is not None and plain(name) not in OF_THE_PROCESS and not column.numbers
        }
        n = len(rows.step)
        if not words or go_on(rows.step, np.zeros(n, np.intp)):
            return
        for name, column in words.items():
            codes, kinds = column.kinds()
            shown = ", ".join(map(str, kinds[:4])) + (", ..." if len(kinds) > 4 else "")
            if 1 < len(kinds) <= n // 3 and go_on(rows.step, codes):
                raise BadLog(
                    f"{self.source}: column {name} tells {len(kinds)} runs or metrics apart "
                    f"({shown}); call it run or metric, or write one file for each run, with one "
                    "column for each metric"
                )
            if len(kinds) > n // 2 and tells_of_runs(name):
                raise BadLog(
                    f"{self.source}: column {name} names {len(kinds)} runs in {n} rows ({shown}): "
                    "a table of results has no curves to read"
                )


def _first(
    columns: Mapping[str, Column], wanted: Iterable[str], *, words: bool = False
) -> str | None:
    """The column first in ``wanted`` that holds numbers (or words), else the first of any."""
    by_name = {plain(name): name for name in reversed([*columns])}
    present = [by_name[name] for name in wanted if name in by_name]
    return next(
        (n for n in present if columns[n].numbers or (words and columns[n].words)),
        present[0] if present else None,
    )


def _unix(column: Column) -> NDArray[np.float64]:
    """Times in Unix seconds, from those or from milli-, micro- or nanoseconds or ISO text."""
    time = column.number
    if column.cells is not None and not column.numbers:
        moments = pd.to_datetime(
            column.cells.to_pandas(), format="ISO8601", utc=True, errors="coerce"
        ).to_numpy(dtype="datetime64[us]")
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)
    for _ in range(3):
        # Seconds of this size lie thousands of years ahead.
        late = time > 1e11
        if not late.any():
            break
        time = np.where(late, time / 1000, time)
    return time


def _oldest_first(rows: Rows) -> Rows:
    step = rows.step
    if len(step) > 1 and step[0] > step[-1] and np.all(step[1:] < step[:-1]):
        return rows.take(np.arange(len(step))[::-1])
    return rows


def _charted(columns: Mapping[str, Column]) -> dict[str, dict[str, Column]]:
    """Of a chart of Weights & Biases the columns of each run, by the names of its metrics."""
    ranges = ("__MIN", "__MAX")
    own = [name for name in columns if all(f"{name}{end}" in columns for end in ranges)]
    matches = {name: match for name in own if (match := CHART_COLUMN.fullmatch(name))}
    axes = {*STEP_COLUMNS, *WALL_TIME_COLUMNS}
    shared = {name: column for name, column in columns.items() if plain(name) in axes}
    runs: dict[str, dict[str, Column]] = {}
    for name, match in matches.items():
        runs.setdefault(match["run"], {})[match["metric"]] = columns[name]
    for run, of_run in runs.items():
        logged = np.logical_or.reduce([column.logged for column in of_run.values()])
        places = np.flatnonzero(logged)
        runs[run] = {name: column.take(places) for name, column in (shared | of_run).items()}
    return runs


def _with_slashes(tag: str) -> str:
    """The tag that a download is of: in the file's name an underscore stands for each slash."""
    return next((word.tag for word in VOCABULARY if word.tag.replace("/", "_") == tag), tag)


def _long_columns(columns: Mapping[str, Column]) -> tuple[str, str] | None:
    """The columns of metric and value, where there is one row a point."""
    by_name = {plain(name): name for name in reversed([*columns])}
    value = next((by_name[name] for name in VALUE_COLUMNS if name in by_name), None)
    metric = next(
        (by_name[n] for n in METRIC_COLUMNS if n in by_name and columns[by_name[n]].words), None
    )
    return None if metric is None or value is None else (metric, value)
