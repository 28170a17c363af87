"""Thresholds in k6's grammar: ``http_req_duration{name:login}`` with ``p(95)<500``.

A selector is a metric with the tags that its samples must have. An expression is a method of
aggregation, an operator and a number; times are in milliseconds.
"""

import operator
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec import Struct, field

from tarslab.chaos.load.durations import Duration

Kind = Literal["counter", "gauge", "rate", "trend"]

METRICS: dict[str, Kind] = {
    "checks": "rate",
    "data_received": "counter",
    "data_sent": "counter",
    "dropped_iterations": "counter",
    "http_req_duration": "trend",
    "http_req_failed": "rate",
    "http_reqs": "counter",
    "iteration_duration": "trend",
    "iterations": "counter",
    "vus": "gauge",
    "vus_max": "gauge",
    # The engine's own, beside k6's.
    "dispatch_lateness": "trend",
    "flow_errors": "counter",
    "http_req_service_duration": "trend",
}
"""The metrics that every run has. In http_req_duration the time counts from when a request was
due; in http_req_service_duration from when it was sent, which is what k6 calls
http_req_duration. dispatch_lateness is the time between the two that is the generator's own, and
flow_errors counts the exceptions of flows."""

METHODS: dict[Kind, tuple[str, ...]] = {
    "counter": ("count", "rate"),
    "gauge": ("value",),
    "rate": ("rate",),
    "trend": ("avg", "min", "max", "med", "count", "p(N)"),
}
# Metrics of k6's that are not measured here.
UNKNOWN = re.compile(r"(http_req|ws|grpc|group|browser|vus|iteration|data)_")

OPERATORS = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "===": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
EXPRESSION = re.compile(
    r"\s*(?P<method>avg|min|max|med|count|rate|value|p\(\s*(?P<level>\d+(?:\.\d+)?)\s*\))"
    r"\s*(?P<operator><=|<|>=|>|===|==|!=)\s*(?P<limit>-?\d+(?:\.\d+)?)\s*"
)
SELECTOR = re.compile(r"\s*(?P<metric>[A-Za-z_][A-Za-z0-9_]*)\s*(?:\{(?P<tags>[^{}]*)\})?\s*")


class Threshold(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A promise about a metric."""

    threshold: str
    """Its expression."""
    abort_on_fail: bool = field(default=False, name="abortOnFail")
    """End the run as soon as it is broken."""
    delay_abort_eval: Duration = field(default=Duration(0), name="delayAbortEval")
    """How long after the start that is looked at first."""

    @property
    def expression(self) -> "Expression":
        return Expression.parse(self.threshold)


class Selector(NamedTuple):
    """A metric, and the tags that select of its samples."""

    metric: str
    tags: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Selector":
        """From ``metric`` or ``metric{tag:value,tag:value}``; ValueError where it is neither."""
        found = SELECTOR.fullmatch(text)
        if found is None:
            raise ValueError(f"a metric such as http_req_duration{{name:login}}, not {text!r}")
        tags = []
        for pair in filter(None, (part.strip() for part in (found["tags"] or "").split(","))):
            tag, colon, value = pair.partition(":")
            if not colon or not tag.strip():
                raise ValueError(f"tags as {{name:login}}, not {pair!r} in {text!r}")
            tags.append((tag.strip(), value.strip().strip("\"'")))
        return cls(found["metric"], tuple(tags))

    def selects(self, metric: str, tags: Mapping[str, str]) -> bool:
        """Whether samples of this metric and these tags are among those meant."""
        return metric == self.metric and all(tags.get(tag) == value for tag, value in self.tags)

    def __str__(self) -> str:
        tags = ",".join(f"{tag}:{value}" for tag, value in self.tags)
        return f"{self.metric}{{{tags}}}" if tags else self.metric


class Expression(NamedTuple):
    """A method of aggregation, an operator and a number."""

    method: str
    """``avg``, ``min``, ``max``, ``med``, ``p``, ``count``, ``rate`` or ``value``."""
    level: float
    """Of ``p`` (and 50 of ``med``), in percent."""
    operator: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """ValueError where it is none; the message shows the grammar."""
        found = EXPRESSION.fullmatch(text)
        if found is None or float(found["level"] or 0) > 100:
            raise ValueError(
                "avg, min, max, med, p(N) with N up to 100, count, rate or value, then one of "
                f"< <= > >= == !=, then a number, such as p(95)<500, not {text!r}"
            )
        method = "p" if found["level"] else found["method"]
        level = 50.0 if method == "med" else float(found["level"] or 0)
        return cls(method, level, found["operator"], float(found["limit"]))

    def holds(self, value: float) -> bool:
        """Whether it is kept with this value of the method; never with NaN, which is no data."""
        return value == value and bool(OPERATORS[self.operator](value, self.limit))


def check(selector: Selector, expression: Expression) -> None:
    """ValueError where the metric is not measured, or has no such method."""
    kind = METRICS.get(selector.metric)
    if kind is None:
        if UNKNOWN.match(selector.metric):
            raise ValueError(
                f"{selector.metric} is not measured; there are {', '.join(sorted(METRICS))}, and "
                "those of a flow's own"
            )
        # A flow's own are trends and counters.
        methods = METHODS["trend"] + METHODS["counter"]
    else:
        methods = METHODS[kind]
    named = "p(N)" if expression.method == "p" else expression.method
    if named not in methods:
        what = f"a {kind}" if kind else "a flow's own"
        raise ValueError(f"{selector.metric} is {what}: it has {', '.join(methods)}, not {named}")
