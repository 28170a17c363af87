"""Downsampling, one series and thousands."""

from collections.abc import Iterator

import numpy as np
from tsdownsample import MinMaxDownsampler, MinMaxLTTBDownsampler

from tarslab.stats import downsample
from tarslab.stats.downsampling import downsample_many
from tests.benchmarks.harness import Comparison, compare
from tests.stats.test_downsampling import envelope_error

HEADING = "Downsampling for pictures"
N_OUT = 200


def comparisons() -> Iterator[Comparison]:
    rng = np.random.default_rng(0)
    ys = rng.normal(size=(4_000, 2_000)).cumsum(axis=1)
    xs = np.broadcast_to(np.arange(2_000.0), ys.shape)
    many_xs, many_ys = list(xs), list(ys)
    loop = MinMaxLTTBDownsampler()
    yield compare(
        f"4,000 series of 2,000 points to {N_OUT} each",
        {
            "tarslab": lambda: downsample_many(many_xs, many_ys, N_OUT),
            "tsdownsample MinMaxLTTB, a call a series": lambda: [
                loop.downsample(x, y, n_out=N_OUT) for x, y in zip(many_xs, many_ys, strict=True)
            ],
            "the same without x": lambda: [loop.downsample(y, n_out=N_OUT) for y in many_ys],
        },
        repeats=9,
        targets={"tsdownsample MinMaxLTTB, a call a series": 2, "the same without x": 2},
        note="tarslab also refuses an x that is not in order, keeps gaps, and keeps the minimum "
        "and maximum of buckets that MinMaxLTTB alone loses.",
    )
    x, y = np.arange(1_000_000.0), rng.normal(size=1_000_000).cumsum()
    yield compare(
        "One series of 1,000,000 points to 500",
        {
            "tarslab": lambda: downsample(x, y),
            "tsdownsample MinMaxLTTB": lambda: loop.downsample(x, y, n_out=500),
        },
        note=envelopes(),
    )


def envelopes() -> str:
    """How far the lowest and highest ink of 600 columns is off, of one spiky series."""
    rng = np.random.default_rng(1)
    x = np.arange(20_000.0)
    y = np.sin(x / 1_000)
    spikes = rng.choice(len(x), 100, replace=False)
    y[spikes] += rng.choice([-1, 1], 100) * rng.uniform(0.3, 2, 100)
    choices = {
        "tarslab": downsample(x, y),
        "MinMaxLTTB": MinMaxLTTBDownsampler().downsample(y, n_out=500),
        "MinMax": MinMaxDownsampler().downsample(y, n_out=500),
    }
    lines = [
        "20,000 points with 100 spikes, 500 points kept:",
        "",
        "| | mean error of the envelope, in % of the range | spikes kept |",
        "| --- | --- | --- |",
    ]
    for name, chosen in choices.items():
        places = np.unique(chosen.astype(np.int64))
        error = 100 * envelope_error(x, y, places) / np.ptp(y)
        lines.append(f"| {name} | {error:.2f} | {np.isin(spikes, places).sum()} |")
    return "\n".join(lines)
