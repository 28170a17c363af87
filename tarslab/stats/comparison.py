"""Is one algorithm better than another? Tests, effect sizes, and the seeds that would decide it."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import hypot, sqrt
from typing import Literal, NamedTuple

import numpy as np
import scipy  # whose parts load at first use: scipy.stats alone takes 0.4 s
from numpy.typing import ArrayLike, NDArray

from tarslab.errors import BadArgument
from tarslab.stats.rolling import as_series

Floats = NDArray[np.float64]
Seed = int | np.random.Generator

# Exact up to 8 against 8 seeds (12,870 ways to deal them out), sampled beyond.
_PERMUTATIONS = 20_000
_MOST_SEEDS = 1_000_000


class Limits(NamedTuple):
    """The limits of a confidence interval; NaN where there is none."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How the scores of ``a`` and ``b`` differ, and how sure that is; every test two-sided.

    Welch's p and interval, and Hedges' g and its interval, are NaN where both groups are constant:
    no spread was seen to judge the difference by. The other two tests still answer then.
    """

    n_a: int
    n_b: int
    mean_a: float
    mean_b: float
    std_a: float
    """Sample standard deviation (ddof=1)."""
    std_b: float
    mean_difference: float
    """``mean_a - mean_b``."""
    mean_difference_interval: Limits
    """Welch's, without equal variances: 0 is outside where ``welch_p`` is small enough."""
    welch_p: float
    """Do the means differ? Exact for normal scores, approximate for others."""
    mann_whitney_p: float
    """Do scores of one tend to be higher than of the other? Ranks only."""
    permutation_p: float
    """Welch's t against its values under every way to deal the scores out to two groups."""
    hedges_g: float
    """The difference in standard deviations, corrected for the bias of few seeds."""
    hedges_g_interval: Limits
    probability_a_higher: float
    """P(A > B) + P(A = B) / 2 for one seed of each: rliable's probability of improvement, the
    common-language effect, (Cliff's delta + 1) / 2."""
    probability_a_higher_interval: Limits
    seeds_needed: int | None
    """Seeds of each algorithm in all that would decide it: see ``seeds_needed``."""
    welch_p_holm: float
    """Adjusted over the pairs that were compared together; of a single pair as it is."""
    mann_whitney_p_holm: float
    permutation_p_holm: float


def compare(a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95, seed: Seed = 0) -> Comparison:
    """Compare the scores of two algorithms, one score a seed.

    Three tests, because with 5 to 10 seeds each has a weakness: Welch's leans on normality, the
    other two cannot say less than 2 / C(n_a + n_b, n_a) however far the groups are apart (0.10
    with 3 seeds each, 0.008 with 5). Pick the one to report before looking.

    - Welch's t-test, its interval, and its power never assume equal variances.
    - Mann-Whitney's U is exact up to n_a * n_b = 2500: from its distribution where no scores are
      equal, by permutations where some are. Beyond, the normal limit with ties corrected.
    - The permutation test takes Welch's t rather than the difference of means, so that it stays
      valid, in the limit, where only the variances differ (Chung and Romano 2013). All
      permutations are counted up to 8 against 8 seeds, 20,000 drawn ones beyond.
    - Hedges' g divides by the root of the mean of both variances, and takes Welch's degrees of
      freedom (Delacre et al. 2021): it assumes normal scores, but not equal variances. The
      interval, of the true difference in these units, is that of the noncentral t: it leaves out
      0 where ``welch_p`` is below ``1 - confidence``. g is NaN with one degree of freedom, where
      it has no expectation.
    - The interval of ``probability_a_higher`` is Newcombe's, which has a width even where the
      groups do not overlap. It takes similar variances: with one standard deviation four times
      the other, 95 % intervals hold the truth in 91 to 93 of 100 experiments.

    Parameters
    ----------
    a, b : array_like, shape (n_a,) and (n_b,), at least 2 finite values each
    confidence : float in (0, 1), default 0.95, of all intervals; ``seeds_needed`` is for a test at
        ``1 - confidence``
    seed : int or Generator, default 0, of the permutations drawn where there are too many

    Raises
    ------
    BadArgument
        Fewer than 2 values, a value that is not finite, or ``confidence`` outside (0, 1), or a
        ``seed`` that is neither.

    References
    ----------
    Welch, Biometrika 34 (1947). Mann and Whitney, Annals of Mathematical Statistics 18 (1947).
    Chung and Romano, Annals of Statistics 41 (2013). Delacre et al., Why Hedges' g*s based on the
    non-pooled standard deviation should be reported with Welch's t-test (2021). Newcombe,
    Statistics in Medicine 25 (2006) 559, method 5.
    """
    _check_fraction(confidence, "confidence")
    return _compare(_as_scores(a, "a"), _as_scores(b, "b"), confidence, seed)


def compare_all(
    scores: Mapping[str, ArrayLike], *, confidence: float = 0.95, seed: Seed = 0
) -> dict[tuple[str, str], Comparison]:
    """``compare`` every pair, the p-values of each test adjusted by Holm's method over the pairs.

    Only the ``*_p_holm`` fields are adjusted; intervals are of one pair each.

    Parameters
    ----------
    scores : mapping from name to array_like, shape (n,), at least two names
    confidence, seed : as for ``compare``; a number seeds each pair anew

    Returns
    -------
    dict from (name of a, name of b), in the order of ``scores``

    Raises
    ------
    BadArgument
        As ``compare``, naming the algorithm, or fewer than two algorithms.
    """
    _check_fraction(confidence, "confidence")
    if len(scores) < 2:
        raise BadArgument(f"scores must hold at least two algorithms, not {len(scores)}")
    groups = {name: _as_scores(values, f"scores[{name!r}]") for name, values in scores.items()}
    pairs = list(combinations(groups, 2))
    found = [_compare(groups[a], groups[b], confidence, seed) for a, b in pairs]
    welch = holm([each.welch_p for each in found])
    mann_whitney = holm([each.mann_whitney_p for each in found])
    permutation = holm([each.permutation_p for each in found])
    return {
        pair: replace(
            each,
            welch_p_holm=float(welch[i]),
            mann_whitney_p_holm=float(mann_whitney[i]),
            permutation_p_holm=float(permutation[i]),
        )
        for i, (pair, each) in enumerate(zip(pairs, found, strict=True))
    }


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values so that a false finding among all of them stays as rare as ``alpha``.

    Compare each adjusted p with ``alpha`` itself. NaN stays NaN and is not counted as a test.

    Parameters
    ----------
    p_values : array_like, shape (n,), within [0, 1]

    Returns
    -------
    ndarray of float64, shape (n,)

    References
    ----------
    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted = as_series(p_values, "p_values").copy()
    if np.any((adjusted < 0) | (adjusted > 1)):
        raise BadArgument("p_values must be within [0, 1]")
    known = np.flatnonzero(~np.isnan(adjusted))
    order = known[np.argsort(adjusted[known])]
    steps = adjusted[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def seeds_needed(
    difference: float, std_a: float, std_b: float, *, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Fewest seeds of each algorithm with which Welch's test would find ``difference``.

    That is, would find it with probability ``power`` at level ``alpha``, for normal scores with
    these standard deviations. The power is that of the noncentral t with Welch's degrees of
    freedom.

    ``compare`` asks this of the difference and deviations that it observed. Such an answer says
    nothing that the p-value did not (Hoenig and Heisey 2001): p = 0.05 always comes with a power
    near one half, and the difference that made one look is more often too large than too small.
    It plans the next experiment; it is no verdict on this one, and seeds added until p falls below
    ``alpha`` do not keep that level. Ask for the smallest difference that would matter to you
    where you can name one.

    Parameters
    ----------
    difference : float, of the means, either sign
    std_a, std_b : float, at least 0
    power : float in (0, 1), default 0.8
    alpha : float in (0, 1), default 0.05, two-sided

    Returns
    -------
    int, at least 2, or None where there is no difference or a million seeds would not do

    References
    ----------
    Hoenig and Heisey, The Abuse of Power, The American Statistician 55 (2001).
    Colas, Sigaud, Oudeyer, How Many Random Seeds?, arXiv:1806.08295 (2018).
    """
    _check_fraction(power, "power")
    _check_fraction(alpha, "alpha")
    if not np.isfinite(difference):
        raise BadArgument(f"difference must be a finite number, not {difference!r}")
    for name, std in (("std_a", std_a), ("std_b", std_b)):
        if not 0 <= std < np.inf:
            raise BadArgument(f"{name} must be a finite number of at least 0, not {std!r}")
    if difference == 0:
        return None
    if std_a == std_b == 0:
        return 2

    def enough(n: int) -> bool:
        return _power(_Welch(difference, std_a, std_b, n, n), alpha) >= power

    most = 2
    while not enough(most):
        most *= 2
        if most > 2 * _MOST_SEEDS:
            return None
    sizes = range(max(2, most // 2), most + 1)
    fewest = sizes[bisect_left(sizes, True, key=enough)]
    return fewest if fewest <= _MOST_SEEDS else None


class _Welch(NamedTuple):
    """A difference of two means and what it is judged by."""

    difference: float
    std_a: float
    std_b: float
    n_a: int
    n_b: int

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return hypot(self.std_a / sqrt(self.n_a), self.std_b / sqrt(self.n_b))

    @property
    def freedom(self) -> float:
        """Welch and Satterthwaite's degrees of freedom."""
        # As shares of the error, which neither over- nor underflow.
        share_a = (self.std_a / sqrt(self.n_a) / self.error) ** 2
        share_b = (self.std_b / sqrt(self.n_b) / self.error) ** 2
        return 1 / (share_a**2 / (self.n_a - 1) + share_b**2 / (self.n_b - 1))

    @property
    def t(self) -> float:
        return self.difference / self.error


def _compare(a: Floats, b: Floats, confidence: float, seed: Seed) -> Comparison:
    (mean_a, std_a), (mean_b, std_b) = _mean_std(a), _mean_std(b)
    # From a common origin near both, so that a large offset costs no digits.
    difference = float((a - b[0]).mean() - (b - b[0]).mean())
    welch = _Welch(difference, std_a, std_b, len(a), len(b))
    if std_a == std_b == 0:
        welch_p, interval = np.nan, Limits(np.nan, np.nan)
        g, g_interval = np.nan, Limits(np.nan, np.nan)
    else:
        welch_p, interval = _welch_test(welch, confidence)
        g, g_interval = _hedges_g(welch, confidence)
    mann_whitney_p, probability = _mann_whitney(a, b, seed)
    permutation_p = _permutation_test(a, b, seed)
    return Comparison(
        n_a=len(a),
        n_b=len(b),
        mean_a=mean_a,
        mean_b=mean_b,
        std_a=std_a,
        std_b=std_b,
        mean_difference=welch.difference,
        mean_difference_interval=interval,
        welch_p=welch_p,
        mann_whitney_p=mann_whitney_p,
        permutation_p=permutation_p,
        hedges_g=g,
        hedges_g_interval=g_interval,
        probability_a_higher=probability,
        probability_a_higher_interval=_newcombe(probability, len(a), len(b), confidence),
        seeds_needed=seeds_needed(welch.difference, std_a, std_b, alpha=1 - confidence),
        welch_p_holm=welch_p,
        mann_whitney_p_holm=mann_whitney_p,
        permutation_p_holm=permutation_p,
    )


def _mean_std(scores: Floats) -> tuple[float, float]:
    """Mean and sample standard deviation; of equal values exactly the value and 0."""
    apart = scores - scores[0]
    return float(scores[0] + apart.mean()), float(apart.std(ddof=1))


def _welch_test(welch: _Welch, confidence: float) -> tuple[float, Limits]:
    p = 2 * float(scipy.special.stdtr(welch.freedom, -abs(welch.t)))
    reach = welch.error * float(scipy.special.stdtrit(welch.freedom, (1 + confidence) / 2))
    return p, Limits(welch.difference - reach, welch.difference + reach)


def _hedges_g(welch: _Welch, confidence: float) -> tuple[float, Limits]:
    """The unbiased estimate, and the interval of the true value, which needs no correction."""
    df = welch.freedom
    std = hypot(welch.std_a, welch.std_b) / sqrt(2)
    unit = welch.error / std
    tail = (1 - confidence) / 2
    sign = -1 if welch.t < 0 else 1
    low, high = sorted(sign * unit * _noncentrality(abs(welch.t), df, p) for p in (tail, 1 - tail))
    if df <= 1:
        return np.nan, Limits(low, high)
    bias = float(scipy.special.poch((df - 1) / 2, 0.5)) / sqrt(df / 2)
    return bias * welch.difference / std, Limits(low, high)


def _noncentrality(t: float, df: float, p: float) -> float:
    """The noncentrality that leaves the chance ``p`` of a value below ``t >= 0``."""
    # Beyond, scipy's search loses digits and then itself, while the normal part of the
    # noncentral t is lost in the chi part: both are right to 2e-4 of the value at the seam.
    if t > 500:
        return t * sqrt(scipy.special.chdtri(df, p) / df)
    return float(scipy.special.nctdtrinc(df, p, t))


def _power(welch: _Welch, alpha: float) -> float:
    """The chance that a two-sided test at ``alpha`` finds the difference."""
    df = welch.freedom
    limit = -float(scipy.special.stdtrit(df, alpha / 2))
    # Capped where the power is 1 to many digits: scipy gives NaN for enormous shifts, and for a
    # far tail that is next to nothing.
    shift = min(abs(welch.t), 1000 * max(limit, 1.0))
    near, far = scipy.special.nctdtr(df, np.array([-shift, shift]), -limit)
    return float(near + np.nan_to_num(far))


def _mann_whitney(a: Floats, b: Floats, seed: Seed) -> tuple[float, float]:
    """The p-value, and the share of pairs of seeds in which a is higher."""
    ties = len(np.unique(np.concatenate([a, b]))) < len(a) + len(b)
    method: Literal["asymptotic", "exact"] | scipy.stats.PermutationMethod = "asymptotic"
    if len(a) * len(b) <= 2500:
        method = _permutations(len(a) + len(b), seed) if ties else "exact"
    result = scipy.stats.mannwhitneyu(a, b, method=method)
    return float(result.pvalue), float(result.statistic) / (len(a) * len(b))


def _newcombe(probability: float, n_a: int, n_b: int, confidence: float) -> Limits:
    """All probabilities that are no further from the observed one than their own error allows."""
    z = float(scipy.special.ndtri((1 + confidence) / 2))
    others = (n_a + n_b) / 2 - 1

    def lowest(observed: float) -> float:
        def too_low(p: float) -> float:
            spread = 1 + others * ((1 - p) / (2 - p) + p / (1 + p))
            return observed - p - z * sqrt(p * (1 - p) * spread / (n_a * n_b))

        # Short of the observed, because 1 solves the equation for itself.
        most = observed * (1 - 1e-9)
        return float(scipy.optimize.brentq(too_low, 0, most)) if observed > 0 else 0.0

    return Limits(lowest(probability), 1 - lowest(1 - probability))


def _permutation_test(a: Floats, b: Floats, seed: Seed) -> float:
    # Moved and scaled, so that a large common offset costs no digits.
    pooled = np.concatenate([a, b])
    centre, scale = np.median(pooled), np.ptp(pooled) or 1.0
    groups = (a - centre) / scale, (b - centre) / scale
    method = _permutations(len(pooled), seed)
    result = scipy.stats.permutation_test(
        groups,
        _angle_of_t,
        vectorized=True,
        n_resamples=method.n_resamples,
        batch=method.batch,
        rng=method.rng,
    )
    return float(result.pvalue)


def _angle_of_t(a: Floats, b: Floats, axis: int) -> Floats:
    """The angle whose tangent is Welch's t: in the same order, and finite without spread too."""
    difference = a.mean(axis) - b.mean(axis)
    error = np.sqrt(a.var(axis, ddof=1) / a.shape[axis] + b.var(axis, ddof=1) / b.shape[axis])
    # Rounded, so that values equal but for the order of a sum count as equal.
    angle: Floats = np.round(np.arctan2(difference, error), 12)
    return angle


def _permutations(n: int, seed: Seed) -> "scipy.stats.PermutationMethod":
    try:
        rng = np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise BadArgument(f"seed must be a whole number or a Generator, not {seed!r}") from None
    # About 32 MB at a time.
    return scipy.stats.PermutationMethod(
        n_resamples=_PERMUTATIONS, batch=max(1, 2**22 // n), rng=rng
    )


def _as_scores(values: ArrayLike, name: str) -> Floats:
    scores = as_series(values, name)
    if len(scores) < 2:
        raise BadArgument(f"{name} must hold at least 2 seeds to show a spread, not {len(scores)}")
    if not np.all(np.isfinite(scores)):
        raise BadArgument(
            f"{name} holds values that are not finite: score such seeds or leave them out"
        )
    return scores


def _check_fraction(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise BadArgument(f"{name} must be between 0 and 1, not {value!r}")
