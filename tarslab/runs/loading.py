"""``load``: from files to a Runs table."""

import os
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tarslab.errors import BadArgument, BadLog, LogWarning, NotLogged
from tarslab.runs import identity, remote
from tarslab.runs.cache import Entry
from tarslab.runs.discovery import PathLike, RunFiles, absolute, find_runs
from tarslab.runs.formats import FORMATS, monitor, tfevents
from tarslab.runs.ray_tune import as_in_result_json
from tarslab.runs.recording import Recording, Series, Unfinished
from tarslab.runs.table import Contents, Run, Runs, as_list
from tarslab.runs.vocabulary import PER_EPISODE, sources, translate

Restarts = Literal["last", "all", "error"]


def load(
    path: PathLike | Iterable[PathLike],
    *,
    metrics: str | Sequence[str] | None = None,
    restarts: Restarts = "last",
    cache: bool = True,
) -> Runs:
    """Read every training run in a folder, file, glob or URL, or in a list of them.

    Reads stable-baselines3's monitor.csv, JSON lines (RLlib's result.json, exports of Weights &
    Biases), TensorBoard event files, stable-baselines3's evaluations.npz, progress.csv and other
    CSV tables with a step column, MLflow's mlruns/, and Parquet tables; the format is found from
    the content. Metrics get their canonical names where the vocabulary knows them. Where two
    formats of a run hold the same metric, the earlier in the list above is believed; the other
    keeps its own tag, unless it is a copy.

    Parameters
    ----------
    path
        Folder (searched with its subfolders), file or glob; ``bundled:cartpole`` and the like are
        the recordings that come with tarslab. A URL of any file system that fsspec knows
        (``s3://``, ``gs://``, ``https://``, ...) needs ``pip install "tarslab[remote]"``.
    metrics
        Names to keep, as they stand in ``Runs.metrics``; None for all.
    restarts
        What to do where the steps of a metric go back, as after a resumed training: ``"last"``
        keeps the later pass and drops what it repeats, ``"all"`` keeps every point, ``"error"``
        refuses. Each metric is settled by itself, since a run may count steps in several ways.
    cache
        Whether large logs that are as they were at an earlier call may come from the copy of the
        tables that it left in the user's cache folder, and whether this call may leave one.

    Raises
    ------
    LogNotFound
        Nothing there, or nothing that is a log.
    BadLog
        No file could be read, or steps go back under ``restarts="error"``.
    BadArgument
        ``restarts`` is none of the three, or no run has any of ``metrics``.

    Warns
    -----
    LogWarning
        Part of a file could not be used (cut off, failed checksum, not text); names file and place.
    """
    if restarts not in get_args(Restarts):
        raise BadArgument(f"restarts must be one of {get_args(Restarts)}, not {restarts!r}")
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    asked = None if metrics is None else [str(metric) for metric in as_list(metrics)]
    # The table has the paths as they were given.
    question = [(os.fspath(one), absolute(one)) for one in paths], asked, restarts
    entry = Entry(question) if cache else None
    kept = entry.read_unseen(paths) if entry else None
    if kept is None:
        found = (
            find_runs(paths, detect=entry.detect, seen=entry.seen) if entry else find_runs(paths)
        )
        kept = entry.read(found) if entry else None
    if kept is None:
        runs, problems = _read(found, asked, restarts)
        contents = Contents.of(runs, copy=False)
    else:
        contents, problems = kept
    loaded = contents.tables()
    if entry and kept is None:
        entry.write(contents, loaded.scalars, problems)
    if asked is not None:
        try:
            loaded = loaded.select(metric=asked)
        except NotLogged:
            # Only all that there is can say what there is.
            return load(paths, restarts=restarts, cache=cache).select(metric=asked)
    for problem in problems:
        warnings.warn(problem, LogWarning, stacklevel=2)
    return loaded


def read_all(
    homes: Sequence[RunFiles], wanted: Collection[str] | None = None
) -> list[list[Recording]]:
    """Every recording of every home, in order of trust; a progress bar where it takes long.

    ``wanted`` are the only tags that will be used, None for all; others may be there too.
    """
    from tqdm.auto import tqdm

    recordings: list[list[Recording]] = [[] for _ in homes]
    total = sum(len(home.files) for home in homes)
    with tqdm(total=total, desc="Reading runs", delay=2, leave=False) as progress:
        for format in FORMATS:
            places = [place for place, home in enumerate(homes) if format.NAME in home.files]
            files = [homes[place].files[format.NAME] for place in places]
            unclear = []
            for place, paths, read in zip(
                places, files, format.read_all(files, wanted), strict=True
            ):
                progress.update()
                if wanted is None or all(recording.series for recording in read):
                    recordings[place] += read
                else:
                    unclear.append((place, paths))
            # Of what has none of the wanted tags: nothing, or others? It is part of the run or not.
            again = format.read_all([paths for _, paths in unclear])
            for (place, _), read in zip(unclear, again, strict=True):
                recordings[place] += read
    return recordings


def settle(
    home: RunFiles,
    recordings: Sequence[Recording],
    config: Mapping[str, Any],
    restarts: Restarts = "last",
    metrics: Collection[str] | None = None,
    *,
    copy: bool = True,
) -> tuple[list[Run], list[str]]:
    """The runs of one home from all that was recorded of it, and what could not be used.

    ``config`` is what stands in the files beside the logs; ``metrics`` are those to keep of each
    run, None for all. Without ``copy`` recorded values may be changed: nobody else must hold them.
    """
    problems = [problem for recording in recordings for problem in recording.warnings]
    recordings = [_with_own_tags(recording) for recording in recordings]
    runs = []
    for name in dict.fromkeys(r.run for r in recordings if r.series):
        of_run = [r for r in recordings if r.series and r.run == name]
        run, more = _run(home, name, of_run, config, restarts, metrics, copy)
        runs.append(run)
        problems += more
    if not runs and not problems:
        problems.append(f"{home.path}: no scalars in it; the run was left out")
    return runs, problems


def _read(
    found: Sequence[RunFiles], asked: Sequence[str] | None, restarts: Restarts
) -> tuple[list[Run], list[str]]:
    """The runs, at least one, and what could not be used."""
    # The table of runs counts the points of the reward as episodes, whatever is asked for.
    metrics = None if asked is None else {*asked, "reward"}
    wanted = None if metrics is None else sources(metrics)
    # Files in one folder share its configuration.
    config_of = lru_cache(maxsize=None)(read_config)
    runs: list[Run] = []
    problems: list[str] = []
    for home, recordings in zip(found, read_all(found, wanted), strict=True):
        config, unreadable = config_of(home.folder)
        settled, unusable = settle(home, recordings, config, restarts, metrics, copy=False)
        runs += settled
        problems += [remote.shown_in(problem) for problem in (*unreadable, *unusable)]
    if not runs:
        raise BadLog("no run could be read:\n" + "\n".join(f"- {p}" for p in problems))
    return runs, problems


def read_config(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What stands in the files beside the logs of a folder, and what could not be read of it."""
    try:
        return identity.read_config(folder), []
    except (BadLog, OSError) as error:
        return {}, [str(error)]


def _with_own_tags(recording: Recording) -> Recording:
    """The recording without what Ray Tune adds to the tags of an event file."""
    if recording.format != tfevents.NAME:
        return recording
    return replace(recording, series=as_in_result_json(recording.series))


def _run(
    home: RunFiles,
    name: str,
    recordings: Sequence[Recording],
    home_config: Mapping[str, Any],
    restarts: Restarts,
    metrics: Collection[str] | None,
    copy: bool,
) -> tuple[Run, list[str]]:
    """One run from what each format holds of it, and what could not be used."""
    full_name = "/".join(filter(None, (home.name, name)))
    by_tag, problems = _most_trusted(full_name, recordings)
    problems += _missing_episodes(full_name, recordings)
    names = translate(by_tag)
    named = _named(by_tag, names, metrics, copy)
    series, restart_problems = _settle_restarts(full_name, named, restarts)
    config = {key: value for r in recordings for key, value in r.config.items()}
    config |= home_config
    run = Run(
        name=full_name,
        path=identity.printable(home.shown),
        format="+".join(recording.format for recording in recordings),
        series=series,
        episodic=any(name == "reward" and tag in PER_EPISODE for tag, (name, _) in names.items()),
        hyperparameters=identity.hyperparameters(config),
        **identity.identify(config, home.below / name),
    )
    return run, problems + restart_problems


def _most_trusted(run: str, recordings: Sequence[Recording]) -> tuple[dict[str, Series], list[str]]:
    """The series of a run by tag, each from the most trusted format that has it.

    Where that one is damaged and a less trusted one holds more, from the other, with a word of it.
    Where it has no times and a less trusted one has the same steps, with the times of the other.
    """
    by_tag: dict[str, Series] = {}
    damage: dict[str, list[str]] = {}
    problems: list[str] = []
    for recording in recordings:
        series = recording.series
        longer = {
            tag
            for tag in damage.keys() & series.keys()
            if damage[tag] and series[tag].points > by_tag[tag].points
        }
        if longer:
            of_longer = [warning for tag in longer for warning in damage[tag]]
            unfinished = all(isinstance(warning, Unfinished) for warning in of_longer)
            problems.append(
                (Unfinished if unfinished else str)(
                    f"{run}: {recording.format} holds more of {len(longer)} metrics "
                    "than the damaged file, and was used for them"
                )
            )
        chosen = (series.keys() - by_tag.keys()) | longer
        for tag in (series.keys() & by_tag.keys()) - longer:
            by_tag[tag] = _with_times(by_tag[tag], series[tag])
        by_tag |= {tag: series[tag] for tag in series if tag in chosen}
        damage |= dict.fromkeys(chosen, recording.warnings)
    return by_tag, problems


def _with_times(one: Series, other: Series) -> Series:
    if np.isnan(one.wall_time).all() and np.array_equal(one.step, other.step):
        return one._replace(wall_time=other.wall_time)
    return one


def _missing_episodes(run: str, recordings: Sequence[Recording]) -> list[str]:
    """A word where monitor.csv ends long before the other logs, and its steps are in doubt."""
    episodes = next((r for r in recordings if r.format == monitor.NAME), None)
    if episodes is None or monitor.LENGTH not in episodes.series:
        return []
    ends = {r.format: max(int(s.step.max()) for s in r.series.values()) for r in recordings}
    end, last = ends[monitor.NAME], max(ends.values())
    longest_episode = episodes.series[monitor.LENGTH].value.max()
    if last - end <= max(0.2 * last, 10 * longest_episode):
        return []
    return [
        f"{run}: the episodes in monitor.csv end at step {end} and the other logs at {last}: after "
        "a resumed training monitor.csv starts again at 0, and of several environments each has "
        "its own"
    ]


def _named(
    by_tag: dict[str, Series],
    names: dict[str, tuple[str, float]],
    metrics: Collection[str] | None,
    copy: bool,
) -> dict[str, Series]:
    """The series under their names, their signs turned where the source negates."""
    return {
        name: _turned(by_tag[tag], sign, copy) if sign != 1 else by_tag[tag]
        for tag, (name, sign) in names.items()
        if metrics is None or name in metrics
    }


def _turned(series: Series, sign: float, copy: bool) -> Series:
    # Where it lies between its neighbours the table needs no copy of them all.
    place = None if copy or not series.value.flags.writeable else series.value
    return series._replace(value=np.multiply(series.value, sign, out=place))


def _settle_restarts(
    run: str, series: dict[str, Series], restarts: Restarts
) -> tuple[dict[str, Series], list[str]]:
    """Series whose steps do not decrease, and what was dropped for it."""
    # Series that were written together share their steps.
    steps = {id(one.step): one.step for one in series.values()}
    falling = {key for key, step in steps.items() if np.count_nonzero(step[1:] < step[:-1])}
    settled, dropped, first = {}, 0, None
    for name, one in series.items():
        if id(one.step) not in falling:
            settled[name] = one
            continue
        back = int(np.argmax(one.step[1:] < one.step[:-1]))
        where = f"{name} from step {one.step[back]} to {one.step[back + 1]}"
        if restarts == "error":
            raise BadLog(
                f"{run}: steps go back ({where}), as after a resumed training; "
                'restarts="last" keeps the later pass, restarts="all" every point'
            )
        first = first or where
        if restarts == "last":
            # Where the steps go back a later pass starts, and repeats all from its first step on.
            starts = np.append(one.step[1:] < one.step[:-1], False)
            restarted_at = np.where(starts, np.append(one.step[1:], 0), np.iinfo(np.int64).max)
            keep = one.step < np.minimum.accumulate(restarted_at[::-1])[::-1]
            dropped += int(np.count_nonzero(~keep))
            settled[name] = one.take(keep)
        else:
            settled[name] = one.take(np.argsort(one.step, kind="stable"))
    if first is None or restarts == "all":
        return settled, []
    return settled, [
        f"{run}: steps go back ({first}), as after a resumed training; the later pass was kept and "
        f'{dropped} points that it repeats were dropped (restarts="all" keeps them)'
    ]
