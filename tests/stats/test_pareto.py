"""Pareto frontiers, ranks and hypervolume, against definitions written out."""

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from tarslab.errors import BadArgument
from tarslab.stats import pareto
from tarslab.stats.kernels.pareto import frontier_of_few, sieve
from tarslab.stats.pareto import hypervolume, pareto_mask, pareto_ranks

few_values = st.integers(-2, 2).map(float)
with_oddities = st.one_of(few_values, st.sampled_from([np.nan, np.inf, -np.inf, -0.0]))
# The first example may have to wait for numba.
compiling = settings(deadline=None, max_examples=60)
of_all_sizes = st.one_of(
    few_values, st.floats(-1, 1), st.floats(allow_nan=False), st.sampled_from([5e-324, 1e308])
)


def tables(elements: st.SearchStrategy[float], most: int = 60) -> st.SearchStrategy[np.ndarray]:
    return arrays(float, st.tuples(st.integers(0, most), st.integers(1, 5)), elements=elements)


@st.composite
def clouds(
    draw: st.DrawFn, elements: st.SearchStrategy[float] = with_oddities, most: int = 60
) -> tuple[np.ndarray, list[str]]:
    points = draw(tables(elements, most))
    words = st.sampled_from(["minimize", "maximize"])
    return points, draw(st.lists(words, min_size=points.shape[1], max_size=points.shape[1]))


def losses(points: np.ndarray, directions: list[str]) -> np.ndarray:
    return np.where([word == "maximize" for word in directions], -points, points)


def frontier(points: np.ndarray, directions: list[str]) -> list[bool]:
    """By the definition, one pair after the other."""
    rows = losses(points, directions).tolist()

    def dominates(p: list[float], q: list[float]) -> bool:
        pairs = list(zip(p, q, strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    known = [not any(math.isnan(value) for value in row) for row in rows]
    # A NaN makes every comparison false, so that such a row dominates nothing.
    return [k and not any(dominates(p, q) for p in rows) for q, k in zip(rows, known, strict=True)]


def ranks_by_peeling(points: np.ndarray, directions: list[str]) -> np.ndarray:
    ranks = np.full(len(points), -1)
    rest = np.flatnonzero(~np.isnan(points).any(axis=1))
    for rank in itertools.count():
        if len(rest) == 0:
            return ranks
        on_frontier = np.array(frontier(points[rest], directions))
        ranks[rest[on_frontier]] = rank
        rest = rest[~on_frontier]
    raise AssertionError


def cells_dominated(points: np.ndarray, reference: int, directions: list[str]) -> int:
    """Of points with whole losses from -2 on: the unit cells that one dominates."""
    corners = np.array(list(itertools.product(range(-2, reference), repeat=points.shape[1])))
    rows = losses(points, directions)
    return sum(bool((rows <= corner).all(axis=1).any()) for corner in corners)


@contextmanager
def sieving_from(n: int) -> Iterator[None]:
    """Clouds of ``n`` points on are sieved: the real limit would make tests slow."""
    with patch.object(pareto, "_LARGE", n):
        yield


@given(clouds())
def test_the_frontier_is_that_of_the_definition(cloud: tuple[np.ndarray, list[str]]) -> None:
    points, directions = cloud
    assert pareto_mask(points, directions).tolist() == frontier(points, directions)


@compiling
@given(clouds(most=120))
def test_a_sieved_cloud_has_the_same_frontier(cloud: tuple[np.ndarray, list[str]]) -> None:
    points, directions = cloud
    with sieving_from(2):
        assert pareto_mask(points, directions).tolist() == frontier(points, directions)


@compiling
@given(clouds(of_all_sizes, most=120))
def test_a_sieved_cloud_of_all_sizes_of_numbers_has_the_same_frontier(
    cloud: tuple[np.ndarray, list[str]],
) -> None:
    points, directions = cloud
    with sieving_from(2):
        assert pareto_mask(points, directions).tolist() == frontier(points, directions)


@compiling
@given(clouds(of_all_sizes), st.data())
def test_no_choice_of_guards_makes_the_sieve_drop_a_frontier_point(
    cloud: tuple[np.ndarray, list[str]], data: st.DataObject
) -> None:
    points, directions = cloud
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) == 0:
        return
    chosen = data.draw(st.lists(st.integers(0, len(finite) - 1), min_size=1, max_size=130))
    maximize = np.array([word == "maximize" for word in directions])
    kept = sieve(pareto._read_only(points), finite[chosen], maximize)
    assert kept[frontier(points, directions)].all()


def test_guards_from_the_smallest_to_the_largest_numbers_drop_no_frontier_point() -> None:
    guards = np.array([[0.0, 0.0, 0.0], [1e305, 0.0, 0.0], [5e-324, 0.0, 0.0]])
    # In turn better than all guards, equal to the best, worse than it in one objective.
    points = np.array([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert sieve(points, guards, np.zeros(3, np.bool_)).tolist() == [True, True, False]


@compiling
@given(clouds(of_all_sizes, most=140))
def test_a_frontier_of_few_that_is_certain_is_right(cloud: tuple[np.ndarray, list[str]]) -> None:
    points, directions = cloud
    if len(points) == 0:
        return
    maximize = np.array([word == "maximize" for word in directions])
    certain, mask = frontier_of_few(points, maximize)
    exact = np.array(frontier(points, directions))
    assert (mask[exact]).all()
    assert not certain or (mask == exact).all()


def test_the_sieve_drops_nearly_all_of_a_uniform_cloud() -> None:
    points = np.random.default_rng(0).random((20_000, 3))
    rows, candidates = pareto._candidates(points, np.zeros(3, dtype=bool))
    assert np.array_equal(candidates, points[rows])
    assert np.count_nonzero(pareto_mask(points)) <= len(candidates) < 1000


@pytest.mark.parametrize("objectives", [2, 3, 5])
@pytest.mark.parametrize("cloud", ["uniform", "shell", "copies", "bits", "heavy tails"])
def test_a_large_cloud_has_optunas_frontier(cloud: str, objectives: int) -> None:
    random = np.random.default_rng(objectives)
    n = 9000
    points = random.random((n, objectives))
    if cloud == "shell":
        points = points[:1500] / np.linalg.norm(points[:1500], axis=1, keepdims=True)
        points = np.concatenate([points, 1 + random.random((n - 1500, objectives))])
    if cloud == "copies":
        points = points[random.integers(0, 60, n)]
    if cloud == "bits":
        points = np.round(points)
    if cloud == "heavy tails":
        points = random.standard_cauchy((n, objectives))
    first = _fast_non_domination_rank(points, n_below=1) == 0
    assert pareto_mask(points).tolist() == first.tolist()
    assert pareto_mask(-points, "maximize").tolist() == first.tolist()


def test_all_copies_of_a_frontier_point_are_on_the_frontier_as_in_optuna() -> None:
    points = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]]
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trials([optuna.create_trial(values=values) for values in points])
    best = {trial.number for trial in study.best_trials}
    assert np.flatnonzero(pareto_mask(points)).tolist() == sorted(best) == [0, 1, 2]


def test_a_point_with_a_nan_is_never_on_the_frontier_and_dominates_nothing() -> None:
    assert pareto_mask([[np.nan, 0.0], [1.0, 1.0], [np.nan, np.nan]]).tolist() == [0, 1, 0]


def test_infinities_are_ordinary_values() -> None:
    points = [[-np.inf, 3.0], [-np.inf, 2.0], [0.0, -np.inf], [np.inf, -np.inf]]
    assert pareto_mask(points).tolist() == [False, True, True, False]
    assert pareto_ranks(points).tolist() == [1, 0, 0, 1]


def test_each_objective_has_its_own_direction() -> None:
    points = [[1.0, 1.0], [2.0, 2.0], [2.0, 1.0]]
    assert pareto_mask(points, ["minimize", "maximize"]).tolist() == [True, True, False]
    assert pareto_mask(points, "maximize").tolist() == [False, True, False]


@given(clouds())
def test_ranks_are_the_frontiers_peeled_off_one_by_one(
    cloud: tuple[np.ndarray, list[str]],
) -> None:
    points, directions = cloud
    assert (
        pareto_ranks(points, directions).tolist() == ranks_by_peeling(points, directions).tolist()
    )


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
def test_ranks_equal_optunas(objectives: int) -> None:
    points = np.random.default_rng(objectives).integers(0, 30, (600, objectives)).astype(float)
    assert pareto_ranks(points).tolist() == _fast_non_domination_rank(points).tolist()


@settings(max_examples=60, deadline=None)
@given(clouds(few_values, most=20), st.integers(-1, 3))
def test_hypervolume_counts_the_cells_of_a_grid(
    cloud: tuple[np.ndarray, list[str]], reference: int
) -> None:
    points, directions = cloud
    corner = losses(np.full(points.shape[1], float(reference)), directions)
    exact = cells_dominated(points, reference, directions)
    assert hypervolume(points, corner, directions) == pytest.approx(exact, rel=1e-12)
    with sieving_from(2):
        assert hypervolume(points, corner, directions) == pytest.approx(exact, rel=1e-12)
    with patch.object(pareto, "_MOST_OBJECTIVES_OF_A_VOLUME", 0):
        assert hypervolume(points, corner, directions) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_hypervolume_equals_optunas(objectives: int) -> None:
    points = np.random.default_rng(objectives).random((40, objectives))
    reference = np.full(objectives, 1.1)
    exact = compute_hypervolume(points, reference)
    assert hypervolume(points, reference) == pytest.approx(exact, rel=1e-12)
    assert hypervolume(-points, -reference, "maximize") == pytest.approx(exact, rel=1e-12)


def test_hypervolume_of_a_large_cloud_equals_that_of_its_frontier() -> None:
    points = np.random.default_rng(0).random((10_000, 3))
    frontier_only = points[pareto_mask(points)]
    exact = compute_hypervolume(frontier_only, np.ones(3))
    assert hypervolume(points, np.ones(3)) == pytest.approx(exact, rel=1e-12)


def test_only_points_better_than_the_reference_in_every_objective_have_a_volume() -> None:
    assert hypervolume([[0.0, 3.0], [4.0, 0.0], [np.nan, 0.0]], [3.0, 3.0]) == 0.0
    # By hand: (3 - 1) * (3 - 2).
    assert hypervolume([[1.0, 2.0], [-9.0, 3.0], [np.nan, 0.0]], [3.0, 3.0]) == 2.0


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
def test_a_point_or_reference_at_infinity_has_an_infinite_volume(objectives: int) -> None:
    far = np.zeros((3, objectives))
    far[1, 0] = -np.inf
    assert hypervolume(far, np.ones(objectives)) == math.inf
    assert hypervolume(far[:1], np.full(objectives, np.inf)) == math.inf
    assert hypervolume(far, np.full(objectives, -np.inf)) == 0.0


def test_no_points_have_no_frontier_no_ranks_and_no_volume() -> None:
    for none in (np.array([]), np.empty((0, 3))):
        assert pareto_mask(none).shape == (0,)
        assert pareto_ranks(none).shape == (0,)
        assert hypervolume(none, [1.0, 1.0, 1.0]) == 0.0


def test_more_objectives_than_moocore_takes() -> None:
    points: np.ndarray = np.random.default_rng(0).integers(0, 4, (25, 3)).astype(float)
    wide = np.tile(points, 90)
    assert pareto_mask(wide).tolist() == pareto_mask(points).tolist()
    assert pareto_mask(-wide, "maximize").tolist() == pareto_mask(points).tolist()
    assert pareto_ranks(wide).tolist() == pareto_ranks(points).tolist()


def test_hypervolume_in_33_objectives() -> None:
    points = np.ones((3, 33))
    points[0, 0] = points[1, 1] = 0.0
    # By hand, of boxes from 0 or 1 to 2: both first have 2 cells, one of them shared.
    assert hypervolume(points, np.full(33, 2.0)) == 3.0


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_any_array_of_numbers_will_do_and_is_left_as_it_is(dtype: type) -> None:
    points: np.ndarray = np.array([[0, 1], [1, 0], [1, 1]], dtype=dtype, order="F")
    points.flags.writeable = False
    before = points.copy()
    assert pareto_mask(points, ["minimize", "minimize"]).tolist() == [True, True, False]
    assert pareto_ranks(points, "maximize").tolist() == [1, 1, 0]
    assert hypervolume(points, [2, 2]) == 3.0
    assert (points == before).all()


def test_few_points_do_not_wait_for_a_compiler() -> None:
    script = (
        "import sys; from tarslab.stats.pareto import *; pareto_mask([[1, 2]]);"
        "pareto_ranks([[1, 2]]); hypervolume([[1, 2]], [3, 3]); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("points", [[1.0, 2.0], 3.0, [["a", "b"]], [[1.0], [1.0, 2.0]], [[], []]])
def test_points_that_are_no_table_are_refused(points: object) -> None:
    for call in (pareto_mask, pareto_ranks):
        with pytest.raises(BadArgument, match="points"):
            call(points)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="points"):
        hypervolume(points, [1.0, 2.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("directions", ["min", ["minimize", "MAXIMIZE"], ["minimize"], [0, 1]])
def test_directions_that_are_unknown_or_too_few_are_refused(directions: object) -> None:
    for call in (pareto_mask, pareto_ranks):
        with pytest.raises(BadArgument, match="directions"):
            call([[1.0, 2.0]], directions)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="directions"):
        hypervolume([[1.0, 2.0]], [3.0, 3.0], directions)  # type: ignore[arg-type]


@pytest.mark.parametrize("reference", [[3.0], [3.0, np.nan], 3.0, [[3.0, 3.0]], "ab"])
def test_a_reference_that_is_no_point_is_refused(reference: object) -> None:
    with pytest.raises(BadArgument, match="reference"):
        hypervolume([[1.0, 2.0]], reference)  # type: ignore[arg-type]
