"""MLflow's file store: ``mlruns/<experiment>/<run>`` with a file a metric.

``metrics/<name>`` has a line ``timestamp value step`` a point, the time in milliseconds; of a name
with slashes all but the last part are folders. ``params/<name>`` holds a setting as text,
``meta.yaml`` the state of the run. Deleted runs keep their files and are passed over.

Source: mlflow/store/tracking/file_store.py.
"""

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tarslab.runs.formats.growing import Contents
from tarslab.runs.formats.parallel import Read, in_processes
from tarslab.runs.formats.text import Content, content
from tarslab.runs.identity import flat, printable
from tarslab.runs.recording import Recording, Series, Unfinished

NAME = "mlflow"
LOOKED_FOR = "MLflow runs (mlruns/)"

METRICS, PARAMS, META = "metrics", "params", "meta.yaml"
POINT = re.compile(rb"\d+ \S+(?: -?\d+(?: \S+ \S+)?)?\r?\n?")
WHOLE_POINTS = re.compile(rb"(?:\d+ [-+.\w]+ -?\d+\n)*")
RUN_ID = re.compile(r"^run_(?:id|uuid):", re.MULTILINE)
STATE = re.compile(r"^lifecycle_stage:\s*(\w+)", re.MULTILINE)
RUN_NAME = re.compile(r"^run_name:.*$", re.MULTILINE)


def matches(path: Path, head: bytes) -> bool:
    """A file in ``metrics`` beside the ``meta.yaml`` of a run that was not deleted."""
    run = _run_of(path)
    if run is None or (head and not POINT.fullmatch(head[: head.find(b"\n") + 1] or head)):
        return False
    meta = _meta(run)
    return RUN_ID.search(meta) is not None and STATE.findall(meta) != ["deleted"]


def home(path: Path) -> Path:
    """The run's folder."""
    return _run_of(path) or path


def read_all(
    homes: Sequence[Sequence[Path]], wanted: Collection[str] | None = None
) -> Iterator[list[Recording]]:
    """One Recording a home, with the wanted tags."""
    return in_processes(NAME, partial(read, wanted=wanted), homes)


def follow() -> Read:
    """Reads the files of a home again and again, of each only what is new."""
    return partial(read, content=Contents())


def read(
    paths: Sequence[Path],
    wanted: Collection[str] | None = None,
    *,
    content: Content = content,
) -> list[Recording]:
    """One run from the files of its metrics; it has the name that MLflow shows for it."""
    run = home(paths[0])
    recording = Recording(NAME, _name(run), config=_parameters(run / PARAMS))
    for path in paths:
        tag = printable(path.relative_to(run / METRICS).as_posix())
        if wanted is None or tag in wanted:
            recording.series[tag] = _read_metric(path, content(path), recording.warnings)
    recording.series = {tag: series for tag, series in recording.series.items() if series.points}
    return [recording]


def _run_of(path: Path) -> Path | None:
    """The folder of the run that a file of a metric belongs to."""
    for folder in path.parents:
        if folder.name == METRICS and (folder.parent / META).is_file():
            return folder.parent
    return None


def _meta(run: Path) -> str:
    meta = run / META
    return _text(meta, meta.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _text(path: Path, modified: int) -> str:
    """A file that every metric of a run asks for."""
    return path.read_text(encoding="utf-8", errors="replace")


def _name(run: Path) -> str:
    stated = run / "tags" / "mlflow.runName"
    if stated.is_file():
        return printable(stated.read_text(encoding="utf-8", errors="replace").strip())
    line = RUN_NAME.search(_meta(run))
    try:
        return str((yaml.safe_load(line[0]) or {}).get("run_name") or "") if line else ""
    except yaml.YAMLError:
        return ""


def _parameters(folder: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found[path.relative_to(folder).as_posix()] = _literal(text.strip())
    return flat(found)


def _literal(text: str) -> Any:
    """What MLflow had before it made text of it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _read_metric(path: Path, data: bytes, warnings: list[str]) -> Series:
    if not data.strip():
        warnings.append(Unfinished(f"{path}: the file is empty; nothing was written yet"))
        return Series.of([], [], [])
    if WHOLE_POINTS.fullmatch(data):
        columns = data.split()
        times, values, steps = (np.array(columns[place::3]) for place in range(3))
    else:
        points = _sound_points(path, data, warnings)
        times, values, steps = np.array(points or np.empty((0, 3)), dtype="S").T
    try:
        step, value = steps.astype(np.int64), values.astype(np.float64)
        series = Series.of(step, times.astype(np.float64) / 1000, value)
    except (ValueError, OverflowError) as error:
        warnings.append(f"{path}: {error}; the metric was left out")
        return Series.of([], [], [])
    if series.points > 1 and not series.step.any():
        warnings.append(f"{path}: logged without steps; its points were numbered in their order")
        return series._replace(step=np.arange(series.points))
    return series


def _sound_points(path: Path, data: bytes, warnings: list[str]) -> list[tuple[bytes, ...]]:
    """Time, value and step of the lines that hold them; a step that is missing is 0."""
    points: list[tuple[bytes, ...]] = []
    bad: list[int] = []
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        parts = line.split()
        if not line.endswith(b"\n"):
            warnings.append(
                Unfinished(
                    f"{path}: the last line is cut off at byte {len(data)} (it has no line end); "
                    "all before it was read"
                )
            )
        elif parts and POINT.fullmatch(line) and _is_number(parts[1]):
            points.append((parts[0], parts[1], parts[2] if len(parts) > 2 else b"0"))
        elif parts:
            bad.append(number)
    if bad:
        warnings.append(
            f"{path}: {len(bad)} lines are not 'timestamp value step', the first is line {bad[0]}; "
            "they were left out"
        )
    return points


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
