"""Rates between two scrapes of a service's metrics."""

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "tars_http_requests_total"
COUNTERS = {
    "tars_rate_limit_hits_total": "requests over a rate limit",
    "tars_jwt_refused_total": "access tokens refused",
    "tars_logins_total": "logins failed or throttled",
}
# Rates that are remembered.
MOST = 60


class Scrape(NamedTuple):
    """What was counted by a moment of the monotonic clock."""

    time: float
    counts: Mapping[str, float]


class Rate(NamedTuple):
    """One of the things that are counted."""

    name: str
    now: float | None
    """A second, between the last two scrapes; None with fewer."""
    history: list[tuple[float, float]]
    """Moments and rates, the newest last."""
    total: float


class Rates:
    """Rates from one scrape to the next."""

    def __init__(self) -> None:
        self._last: Scrape | None = None
        self._history: dict[str, deque[tuple[float, float]]] = {}

    def add(self, scrape: Scrape) -> None:
        """Take in the next scrape; counters that have gone back belong to a service begun anew."""
        before, self._last = self._last, scrape
        if before is None or scrape.time <= before.time:
            return
        if any(scrape.counts[name] < count for name, count in before.counts.items()):
            self._history.clear()
            return
        for name, count in scrape.counts.items():
            rate = (count - before.counts[name]) / (scrape.time - before.time)
            self._history.setdefault(name, deque(maxlen=MOST)).append((scrape.time, rate))

    def rows(self) -> list[Rate]:
        """All that is counted."""
        counts = {} if self._last is None else self._last.counts
        rates = []
        for name, total in counts.items():
            history = list(self._history.get(name, ()))
            rates.append(Rate(name, history[-1][1] if history else None, history, total))
        return rates


def parse(text: str) -> Scrape:
    """A scrape in Prometheus's text format, as of now."""
    requests: dict[str, float] = defaultdict(float)
    others = dict.fromkeys(COUNTERS.values(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == REQUESTS:
                requests[sample.labels["status"][0]] += sample.value
            elif sample.name in COUNTERS and sample.labels.get("result") != "ok":
                others[COUNTERS[sample.name]] += sample.value
    counts = {
        "requests": sum(requests.values()),
        "errors of callers (4xx)": requests["4"],
        "errors of the service (5xx)": requests["5"],
    }
    return Scrape(time.monotonic(), counts | others)
