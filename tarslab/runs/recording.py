"""What a format reader hands over: named series as they were written, nothing renamed or sorted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Series(NamedTuple):
    """One metric of one run in the order written; three arrays of one length."""

    step: NDArray[np.int64]
    wall_time: NDArray[np.float64]
    value: NDArray[np.float64]

    @property
    def points(self) -> int:
        """How many points there are."""
        return len(self.step)

    @classmethod
    def of(cls, step: ArrayLike, wall_time: ArrayLike, value: ArrayLike) -> "Series":
        """The three columns as arrays of the right types."""
        return cls(
            np.asarray(step, dtype=np.int64),
            np.asarray(wall_time, dtype=np.float64),
            np.asarray(value, dtype=np.float64),
        )

    @classmethod
    def joined(cls, parts: Iterable["Series"], *, copy: bool = True) -> "Series":
        """Several series, one after the other; without ``copy`` views where they lie so."""
        join = np.concatenate if copy else _as_one
        return cls(*map(join, zip(*parts, strict=True)))

    def take(self, places: NDArray[Any] | slice) -> "Series":
        """The points at these places (indices, a mask or a slice)."""
        return Series(self.step[places], self.wall_time[places], self.value[places])


def _as_one(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays joined, as a view where they are neighbours in one array."""
    whole = parts[0].base
    if isinstance(whole, np.ndarray) and whole.ndim == 1 and whole.dtype == parts[0].dtype:
        start = after = _address(parts[0])
        for part in parts:
            if part.base is not whole or not part.flags.c_contiguous or _address(part) != after:
                return np.concatenate(parts)
            after += part.nbytes
        first = (start - _address(whole)) // whole.itemsize
        view = whole[first : first + sum(map(len, parts))]
        if view.nbytes == after - start and _address(view) == start:
            return view
    return np.concatenate(parts)


def _address(array: NDArray[Any]) -> int:
    place: int = array.__array_interface__["data"][0]
    return place


class Unfinished(str):
    """A warning of a file that breaks off in the middle: the rest may be still to come."""


@dataclass
class Recording:
    """All that the files of one format say of one run."""

    format: str
    run: str = ""
    """The run's name below its home, where files hold several runs."""
    series: dict[str, Series] = field(default_factory=dict)
    """By the source's own tag."""
    config: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters that stand in the log itself."""
    warnings: list[str] = field(default_factory=list)
    """What could not be used, each naming file and place."""
