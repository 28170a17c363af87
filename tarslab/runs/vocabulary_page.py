"""``python -m tarslab.runs.vocabulary_page docs/formats.md``: write the table of names into a page.

It goes between the two comments ``<!-- vocabulary -->`` and ``<!-- /vocabulary -->``.
"""

import sys
from pathlib import Path

from tarslab.runs.vocabulary import CANONICAL, SOURCES, STEPS, VOCABULARY, Word

START, END = "<!-- vocabulary -->", "<!-- /vocabulary -->"


def with_table(page: str) -> str:
    """The page with the table of the vocabulary as it is now."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page has no {START} with an {END} after it")
    return f"{before}{START}\n{table()}{END}{after}"


def table() -> str:
    """One row for each metric and trainer, in Markdown."""
    lines = ["| metric | trainer | tags, the first in a run is the metric |", "| --- | --- | --- |"]
    for source, tag in STEPS:
        lines.append(f"| step | {source} | `{tag}` |")
    for metric in CANONICAL:
        of_metric = [word for word in VOCABULARY if word.metric == metric]
        for source in SOURCES:
            if words := [word for word in of_metric if word.source == source]:
                lines.append(f"| `{metric}` | {source} | {', '.join(map(_cell, words))} |")
    return "\n".join(lines) + "\n"


def _cell(word: Word) -> str:
    beside = f" beside `{word.beside}`" if word.beside else ""
    note = f" ({word.note})" if word.note else ""
    return f"{'−' if word.sign < 0 else ''}`{word.tag}`{beside}{note}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
