"""The highest rate of arrivals at which the thresholds still hold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from tarslab.chaos.load.flows import Function
from tarslab.chaos.load.loadtest import LoadTest
from tarslab.chaos.load.results import LoadResult
from tarslab.chaos.load.running import Name, run_load
from tarslab.chaos.load.scenarios import Arrivals
from tarslab.chaos.load.targets import Stacked
from tarslab.errors import BadArgument

if TYPE_CHECKING:
    import optuna

OnTrial = Callable[[int, LoadResult], object]


@dataclass(frozen=True)
class Capacity:
    """What a search for the highest rate found."""

    rate: float | None
    """Arrivals a second at the peak; None where not even the lowest that was tried passed."""
    broken_at: float | None
    """The lowest rate that failed, or None."""
    limited_at: float | None
    """The lowest rate at which the generator was the bottleneck, or None."""
    study: "optuna.Study"
    """Its trials: the parameter ``rate``, and the attribute ``verdict``."""

    def __str__(self) -> str:
        if self.rate is None:
            said = "no rate that was tried meets the thresholds"
        else:
            said = f"{self.rate:.0f} arrivals a second meet the thresholds"
        if self.broken_at is not None:
            said += f", {self.broken_at:.0f} do not"
        if self.limited_at is not None:
            said += f"; at {self.limited_at:.0f} the generator was the limit"
        return said + "."


def capacity(
    scenario: LoadTest | Mapping[str, Any] | str,
    target: str | Stacked,
    *,
    trials: int = 10,
    precision: float = 0.05,
    scale: float = 1.0,
    engine: Name = "embedded",
    flows: Mapping[str, Function] | None = None,
    allow: Iterable[str] = (),
    on_trial: OnTrial | None = None,
) -> Capacity:
    """Search for the highest rate of arrivals at which every threshold holds.

    An Optuna study whose sampler doubles the rate from that of the scenario on until a run fails
    (or halves it until one passes), and then bisects in between; a run that is limited by its
    generator counts as an end, too, as nothing can be said beyond it.

    scenario: with arrival rates, all of which are changed by the same factor, and maxVUs with
        them; and with thresholds.
    trials: runs at most.
    precision: the search ends when the lowest rate that fails is so little above the highest that
        passes, relatively.
    on_trial: called with the number of each run and its result.
    Others as of ``run_load``.

    Raises:
        BadArgument: The scenario has no arrival rate or no thresholds, or an option is out of its
            range.
    """
    test = LoadTest.of(scenario)
    if not test.peak_rate or not all(isinstance(s, Arrivals) for s in test.scenarios.values()):
        raise BadArgument("scenario: a capacity is a rate of arrivals, and some has none")
    if not test.thresholds:
        raise BadArgument("scenario: without thresholds every rate would do")
    if trials < 1 or precision <= 0:
        raise BadArgument(f"trials at least 1 and precision above 0, not {trials}, {precision!r}")
    study = _study()
    passed: list[float] = []
    broken: list[float] = []
    limited: list[float] = []
    for number in range(trials):
        trial = study.ask()
        at = _at(test, trial.suggest_float("rate", *_span(test), log=True))
        trial.set_user_attr("rate", at.peak_rate)
        result = run_load(at, target, scale=scale, engine=engine, flows=flows, allow=allow)
        trial.set_user_attr("verdict", result.verdict)
        # That the generator was the limit may be chance: the next trial may be there again.
        {"passed": passed, "failed": broken}.get(result.verdict, limited).append(at.peak_rate)
        study.tell(trial, at.peak_rate if result.verdict == "passed" else 0.0)
        if on_trial is not None:
            on_trial(number, result)
        ends = broken + limited
        if passed and ends and min(ends) <= max(passed) * (1 + precision):
            break
        if result.interrupted:
            break
    return Capacity(
        max(passed, default=None), min(broken, default=None), min(limited, default=None), study
    )


def _study() -> "optuna.Study":
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize", sampler=_bisection())
    finally:
        optuna.logging.set_verbosity(verbosity)


def _span(test: LoadTest) -> tuple[float, float]:
    """Rates that may be tried."""
    return test.peak_rate / 1024, test.peak_rate * 1024


def _at(test: LoadTest, rate: float) -> LoadTest:
    """The same with another peak rate; rates are whole numbers, of at least one."""
    factor = rate / test.peak_rate
    options = test.to_options()
    for scenario in options["scenarios"].values():
        for name in ("rate", "startRate"):
            if scenario.get(name):
                scenario[name] = max(1, round(scenario[name] * factor))
        for stage in scenario.get("stages", ()):
            stage["target"] = stage["target"] and max(1, round(stage["target"] * factor))
        most = scenario.get("maxVUs", scenario["preAllocatedVUs"])
        scenario["maxVUs"] = max(most, ceil(most * factor))
    return LoadTest.of(options).named(test.name)


def _bisection() -> "optuna.samplers.BaseSampler":
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, TrialState

    class Bisection(BaseSampler):
        """Where what passes lies below what does not."""

        def infer_relative_search_space(
            self, study: "optuna.Study", trial: FrozenTrial
        ) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(
            self,
            study: "optuna.Study",
            trial: FrozenTrial,
            search_space: dict[str, BaseDistribution],
        ) -> dict[str, Any]:
            return {}

        def sample_independent(
            self,
            study: "optuna.Study",
            trial: FrozenTrial,
            param_name: str,
            param_distribution: BaseDistribution,
        ) -> float:
            assert isinstance(param_distribution, FloatDistribution)
            least, most = param_distribution.low, param_distribution.high
            done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            good: list[float] = [each.params[param_name] for each in done if each.value]
            bad: list[float] = [each.params[param_name] for each in done if not each.value]
            if good and bad:
                return sqrt(max(good) * min(bad))
            if not done:
                return sqrt(least * most)
            return min(max(good) * 2, most) if good else max(min(bad) / 2, least)

    return Bisection()
