"""``load``: from files to a Runs table."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from tarslab.errors import BadArgument, BadLog, LogWarning
from tarslab.runs import identity
from tarslab.runs.discovery import PathLike, RunFiles, find_runs
from tarslab.runs.formats import FORMATS, monitor
from tarslab.runs.recording import Recording, Series
from tarslab.runs.table import Run, Runs
from tarslab.runs.vocabulary import PER_EPISODE, translate

Restarts = Literal["last", "all", "error"]


def load(
    path: PathLike | Iterable[PathLike],
    *,
    metrics: str | Sequence[str] | None = None,
    restarts: Restarts = "last",
) -> Runs:
    """Read every training run in a folder, file or glob, or in a list of them.

    Reads TensorBoard event files, stable-baselines3's monitor.csv, and progress.csv or other CSV
    tables with a step column; the format is found from the content. Metrics get their canonical
    names where the vocabulary knows them. Where two formats of a run hold the same metric, the
    earlier in the list above is believed; the other keeps its own tag, unless it is a copy.

    Parameters
    ----------
    path
        Folder (searched with its subfolders), file or glob; ``bundled:cartpole`` and the like are
        the recordings that come with tarslab.
    metrics
        Names to keep, as they stand in ``Runs.metrics``; None for all.
    restarts
        What to do where the steps of a metric go back, as after a resumed training: ``"last"``
        keeps the later pass and drops what it repeats, ``"all"`` keeps every point, ``"error"``
        refuses. Each metric is settled by itself, since a run may count steps in several ways.

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
    found = find_runs(path)
    runs: list[Run] = []
    problems: list[str] = []
    for home, recordings in zip(found, _read_all(found), strict=True):
        config, home_problems = _config(home)
        home_problems += [problem for r in recordings for problem in r.warnings]
        runs_before = len(runs)
        for name in dict.fromkeys(r.run for r in recordings if r.series):
            run, run_problems = _run(
                home, name, [r for r in recordings if r.series and r.run == name], config, restarts
            )
            runs.append(run)
            home_problems += run_problems
        if len(runs) == runs_before and not home_problems:
            home_problems.append(f"{home.path}: no scalars in it; the run was left out")
        problems += home_problems
    if not runs:
        raise BadLog("no run could be read:\n" + "\n".join(f"- {p}" for p in problems))
    for problem in problems:
        warnings.warn(problem, LogWarning, stacklevel=2)
    loaded = Runs.of(runs)
    return loaded if metrics is None else loaded.select(metric=metrics)


def _read_all(homes: Sequence[RunFiles]) -> list[list[Recording]]:
    """Every recording of every home, in order of trust; a progress bar where it takes long."""
    from tqdm.auto import tqdm

    recordings: list[list[Recording]] = [[] for _ in homes]
    total = sum(len(home.files) for home in homes)
    with tqdm(total=total, desc="Reading runs", delay=2, leave=False) as progress:
        for format in FORMATS:
            places = [place for place, home in enumerate(homes) if format.NAME in home.files]
            files = [homes[place].files[format.NAME] for place in places]
            for place, read in zip(places, format.read_all(files), strict=True):
                recordings[place] += read
                progress.update()
    return recordings


def _config(home: RunFiles) -> tuple[dict[str, Any], list[str]]:
    try:
        return identity.read_config(home.folder), []
    except (BadLog, OSError) as error:
        return {}, [str(error)]


def _run(
    home: RunFiles,
    name: str,
    recordings: Sequence[Recording],
    home_config: dict[str, Any],
    restarts: Restarts,
) -> tuple[Run, list[str]]:
    """One run from what each format holds of it, and what could not be used."""
    full_name = "/".join(filter(None, (home.name, name)))
    by_tag, problems = _most_trusted(full_name, recordings)
    problems += _missing_episodes(full_name, recordings)
    names = translate(by_tag)
    series, restart_problems = _settle_restarts(full_name, _named(by_tag, names), restarts)
    config = {key: value for r in recordings for key, value in r.config.items()} | home_config
    run = Run(
        name=full_name,
        path=identity.printable(str(home.path)),
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
    """
    by_tag: dict[str, Series] = {}
    damaged: set[str] = set()
    problems = []
    for recording in recordings:
        series = recording.series
        longer = {tag for tag in damaged & series.keys() if series[tag].points > by_tag[tag].points}
        if longer:
            problems.append(
                f"{run}: {recording.format} holds more of {len(longer)} metrics "
                "than the damaged file, and was used for them"
            )
        chosen = (series.keys() - by_tag.keys()) | longer
        by_tag |= {tag: series[tag] for tag in series if tag in chosen}
        damaged = damaged - longer | (chosen if recording.warnings else set())
    return by_tag, problems


def _missing_episodes(run: str, recordings: Sequence[Recording]) -> list[str]:
    """A word where monitor.csv ends long before the other logs, and its steps are in doubt."""
    ends = {r.format: max(int(s.step.max()) for s in r.series.values()) for r in recordings}
    episodes = next((r for r in recordings if r.format == monitor.NAME), None)
    if episodes is None:
        return []
    end, last = ends[monitor.NAME], max(ends.values())
    longest_episode = episodes.series[monitor.LENGTH].value.max()
    if last - end <= max(0.2 * last, 10 * longest_episode):
        return []
    return [
        f"{run}: the episodes in monitor.csv end at step {end} and the other logs at {last}: after "
        "a resumed training monitor.csv starts again at 0, and of several environments each has "
        "its own"
    ]


def _named(by_tag: dict[str, Series], names: dict[str, tuple[str, float]]) -> dict[str, Series]:
    """The series under their names, their signs turned where the source negates."""
    return {
        name: by_tag[tag]._replace(value=by_tag[tag].value * sign) if sign != 1 else by_tag[tag]
        for tag, (name, sign) in names.items()
    }


def _settle_restarts(
    run: str, series: dict[str, Series], restarts: Restarts
) -> tuple[dict[str, Series], list[str]]:
    """Series whose steps do not decrease, and what was dropped for it."""
    settled, dropped, first = {}, 0, None
    for name, one in series.items():
        if not np.any(one.step[1:] < one.step[:-1]):
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
