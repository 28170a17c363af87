"""``python -m tests.benchmarks [topic ...]``: measure, print, and write docs/benchmarks.md."""

import argparse
import importlib
import os
import platform
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.harness import Comparison

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "benchmarks.md"
TOPICS = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
PEERS = ("numpy", "pandas", "scipy", "numba", "pyarrow")


def main() -> None:
    """Measure the topics asked for; the page is written when that is all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="topic", help=", ".join(TOPICS))
    topics = parser.parse_args().topics or TOPICS
    if unknown := sorted(set(topics) - set(TOPICS)):
        parser.error(f"no topic {', '.join(unknown)}; there are {', '.join(TOPICS)}")
    sections = [_introduction()]
    for topic in topics:
        module = importlib.import_module(f"tests.benchmarks.bench_{topic}")
        sections.append(f"## {module.HEADING}\n")
        for comparison in module.comparisons():
            assert isinstance(comparison, Comparison)
            sections.append(comparison.markdown())
            print(sections[-1], flush=True)
    if topics == TOPICS:
        PAGE.write_text("\n".join(sections), encoding="utf-8")
        print(f"wrote {PAGE}")


def _introduction() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PEERS)
    return (
        "# Benchmarks\n\n"
        "Written by `make bench`: every figure is the median of calls made in turn in one run, and "
        "a ratio says how many times as long as tarslab a peer took.\n\n"
        f"Machine: {_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, "
        f"Python {platform.python_version()}; {versions}.\n"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
