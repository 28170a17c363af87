"""Whether latency changed between two results, whatever they are of."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tarslab.chaos.load.saving import HISTOGRAMS
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    from tarslab.chaos.load.comparing import Change


class Comparison(NamedTuple):
    """What changed between two results."""

    changes: "dict[str, Change]"
    """By the name of the load within them."""
    left_out: dict[str, str]
    """Why a load that both have could not be compared."""


def compare_folders(
    before: Path,
    after: Path,
    *,
    metric: str = "http_req_duration",
    quantile: float = 0.95,
) -> Comparison:
    """``load.compare`` for each load that both results have.

    before, after: folders of two loads, experiments or suites.

    Raises BadArgument where no load of both can be compared.
    """
    from tarslab.chaos.load.comparing import compare
    from tarslab.chaos.load.results import LoadResult

    olds, news = _loads(before), _loads(after)
    changes, left_out = {}, {}
    for name in (name for name in olds if name in news):
        old, new = LoadResult.load(olds[name]), LoadResult.load(news[name])
        try:
            changes[name] = compare(old, new, metric=metric, quantile=quantile)
        except BadArgument as error:
            left_out[name] = str(error)
    if not changes:
        why = "; ".join(f"{name}: {error}" for name, error in left_out.items()) or (
            f"they have no load in common ({', '.join(olds) or 'none'} and "
            f"{', '.join(news) or 'none'})"
        )
        raise BadArgument(f"{before} and {after} cannot be compared: {why}")
    return Comparison(changes, left_out)


def _loads(folder: Path) -> dict[str, Path]:
    """Folders with results of load; the name of the only one is that of what it is of."""
    if not folder.is_dir():
        raise BadArgument(f"{folder}: no folder of results")
    found = sorted(path.parent for path in folder.rglob(HISTOGRAMS))
    names = [str(path.relative_to(folder)) for path in found]
    # A load and an experiment have one each, wherever it is.
    if len(found) == 1 and names[0] in (".", "load"):
        return {"load": found[0]}
    return dict(zip(names, found, strict=True))
