"""Many small CSV files, and monitors, against pandas a file at a time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import tarslab as tl
from tarslab.runs.formats import csv_tables, monitor
from tests.benchmarks.harness import Comparison, compare

HEADING = "Reading CSV files"

FILES, ROWS = 1_000, 1_000
METRICS = ("charts/episodic_return", "losses/value_loss", "losses/policy_loss", "losses/entropy")


def comparisons() -> Iterator[Comparison]:
    """The reader alone, the whole load, and monitors."""
    with tempfile.TemporaryDirectory() as folder:
        files = _progress_files(Path(folder))
        yield compare(
            f"{FILES:,} × {ROWS:,} rows × 6 columns, read",
            {
                "tarslab": lambda: list(csv_tables.read_all([[path] for path in files])),
                "pandas.read_csv": lambda: [pd.read_csv(path) for path in files],
            },
            targets={"pandas.read_csv": 4},
            note="Numbers are rounded as by Python's float; by pandas, as by its faster default.",
        )
        yield compare(
            f"{FILES:,} × {ROWS:,} rows × 6 columns, from the folder to one tidy table",
            {
                "tarslab": lambda: tl.load(folder, cache=False),
                "pandas, a file at a time": lambda: _tidy(Path(folder)),
                "pandas.read_csv, no table": lambda: [pd.read_csv(path) for path in files],
            },
            targets={"pandas, a file at a time": 4},
            repeats=3,
        )
    with tempfile.TemporaryDirectory() as folder:
        files = _monitors(Path(folder))
        yield compare(
            f"{FILES:,} monitor.csv of {ROWS:,} episodes, read",
            {
                "tarslab": lambda: list(monitor.read_all([[path] for path in files])),
                "pandas.read_csv": lambda: [pd.read_csv(path, skiprows=1) for path in files],
            },
            targets={"pandas.read_csv": 4},
        )
    with tempfile.TemporaryDirectory() as folder:
        wide, long = _large_files(Path(folder))
        for kind, path in (("wide", wide), ("long, 100 series", long)):
            yield compare(
                f"one CSV of 1,000,000 rows, {kind}, read",
                {
                    "tarslab": lambda path=path: list(csv_tables.read_all([[path]])),  # type: ignore[misc]
                    "pandas.read_csv": lambda path=path: pd.read_csv(path),  # type: ignore[misc]
                },
                repeats=3,
            )


def _progress_files(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    files = []
    for run in range(FILES):
        table = pd.DataFrame(
            {
                "global_step": np.arange(1, ROWS + 1) * 2048,
                "wall_time": 1.7e9 + np.arange(ROWS) * 1.5,
                **{metric: rng.normal(size=ROWS) for metric in METRICS},
            }
        )
        path = folder / f"run_{run}" / "progress.csv"
        path.parent.mkdir()
        table.to_csv(path, index=False)
        files.append(path)
    return files


def _monitors(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    files = []
    for run in range(FILES):
        clock = np.sort(rng.uniform(0, 1000, ROWS)).round(6)
        lengths = rng.integers(1, 500, ROWS)
        rows = [f"{r}.0,{r},{t}\r\n" for r, t in zip(lengths, clock, strict=True)]
        path = folder / f"run_{run}" / "monitor.csv"
        path.parent.mkdir()
        header = '#{"t_start": 1690000000.5, "env_id": "CartPole-v1"}\r\nr,l,t\r\n'
        path.write_text(header + "".join(rows), newline="")
        files.append(path)
    return files


def _large_files(folder: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    n = 1_000_000
    columns = {metric: rng.normal(size=n) for metric in METRICS}
    pd.DataFrame({"global_step": np.arange(n), **columns}).to_csv(folder / "wide.csv", index=False)
    series = np.arange(n) // 10_000
    pd.DataFrame(
        {
            "run": pd.Series(series // 2).map("ppo/seed_{}".format),
            "metric": np.where(series % 2, "reward", "entropy"),
            "step": np.arange(n) % 10_000,
            "wall_time": 1.7e9 + np.arange(n),
            "value": rng.normal(size=n),
        }
    ).to_csv(folder / "long.csv", index=False)
    return folder / "wide.csv", folder / "long.csv"


def _tidy(folder: Path) -> pd.DataFrame:
    """The same long table by pandas."""
    parts = [
        pd.read_csv(path)
        .melt(["global_step", "wall_time"], var_name="metric")
        .assign(run=path.parent.name)
        for path in sorted(folder.rglob("progress.csv"))
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.astype({"run": "category", "metric": "category"})
    return table.sort_values(["run", "metric", "global_step"], ignore_index=True)
