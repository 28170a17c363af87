"""Whether latency changed between two runs."""

import numpy as np
import pytest

from tarslab.chaos.load import LoadResult, compare
from tarslab.chaos.load.comparing import _weights
from tarslab.errors import BadArgument
from tests.chaos.load.made import Made


def run(
    seed: int, factor: float = 1.0, seconds: int = 60, name: str = "login", late: float = 1.0
) -> LoadResult:
    """Waits around 20 ms, in seconds that are not alike."""
    stream = np.random.default_rng(seed)
    made = Made(seconds=seconds).late([late])
    made.about["options"]["scenarios"]["a"] |= {"duration": f"{seconds}s"}
    for second in range(seconds):
        load = 20 * (1.2 + np.sin(second / 5))
        made.requests(second, stream.gamma(4, load / 4, 50) * factor, name=name)
    return made.result()


def test_a_slower_run_is_said_to_be_slower_by_about_as_much() -> None:
    change = compare(run(1), run(2, factor=1.5))
    assert change.clear
    assert change.change.low < 0.5 < change.change.high
    assert change.worse_than(0.1)
    assert str(change).startswith("P95 of http_req_duration rose by")
    assert "95 % interval +" in str(change)


def test_a_faster_run_is_never_worse() -> None:
    change = compare(run(1), run(2, factor=0.5))
    assert change.clear
    assert not change.worse_than(0)
    assert " fell by " in str(change)


def test_runs_that_differ_by_chance_are_rarely_said_to_differ() -> None:
    # A 95 % interval misses in 1 of 20: more than 3 of 10 by chance in 1 of 1,000.
    clear = [compare(run(2 * n), run(2 * n + 1), reps=200).clear for n in range(10)]
    assert sum(clear) <= 3
    change = compare(run(0), run(1))
    assert not change.worse_than(0.1)
    assert "did not clearly change" in str(change)


def test_a_change_below_the_limit_is_not_worse_than_it() -> None:
    change = compare(run(1), run(2, factor=1.3))
    assert change.worse_than(0.1)
    assert not change.worse_than(2)


def test_the_same_seed_gives_the_same_interval() -> None:
    first, again, other = (compare(run(1), run(2), reps=200, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.change != other.change


def test_the_estimates_are_the_quantiles_of_the_runs() -> None:
    before, after = run(1), run(2)
    change = compare(before, after, quantile=0.5)
    medians = [
        each.windows("http_req_duration", "med<1", 60)["value"][0] for each in (before, after)
    ]
    assert [change.before.estimate, change.after.estimate] == medians
    assert change.change.estimate == pytest.approx(medians[1] / medians[0] - 1)
    assert change.before.low <= change.before.estimate <= change.before.high


def test_blocks_are_seconds_that_follow_each_other() -> None:
    weights = _weights(200, 64, np.random.default_rng(0))
    assert weights.sum(axis=1).tolist() == [64] * 200
    # 16 blocks of 4 seconds: at least 3 of each block's are followed by their neighbour.
    drawn = weights > 0
    followed = (drawn & np.roll(drawn, -1, axis=1)).sum(axis=1)
    assert (followed >= drawn.sum(axis=1) * 3 // 4 - 1).all()


def test_a_metric_may_have_tags() -> None:
    change = compare(run(1, name="me"), run(2, 2, name="me"), metric="http_req_duration{name:me}")
    assert change.clear
    with pytest.raises(BadArgument, match="the run before has no times of http_req_duration"):
        compare(run(1), run(2), metric="http_req_duration{name:x}")


def test_a_short_run_says_nothing() -> None:
    with pytest.raises(BadArgument, match=r"after: a run of 4\.0 s is too short"):
        compare(run(1), run(2, seconds=4))


def test_a_run_that_its_generator_limited_is_doubted() -> None:
    change = compare(run(1), run(2, late=90))
    assert change.doubts == ("But the run after was limited by its generator.",)
    assert str(change).endswith(change.doubts[0])


@pytest.mark.parametrize(
    "options", [{"reps": 0}, {"confidence": 1}, {"quantile": 0}, {"quantile": 95}, {"seed": -1}]
)
def test_options_out_of_range_are_told(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(BadArgument, match=name):
        compare(run(1), run(2), **options)  # type: ignore[arg-type]
