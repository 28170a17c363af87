"""Short loads for tests, and figures of their results."""

from collections.abc import Awaitable, Callable
from typing import Any

from tarslab.chaos.load import LoadResult, run_load
from tests.chaos.load.conftest import Server
from tests.chaos.load.visits import one

# A machine that has other work makes the generator late: here that is no reason.
PATIENT = {"http_req_service_duration": ["max<1000000"]}
LIMIT = 60.0


def arrivals(rate: int, duration: str, **others: Any) -> dict[str, Any]:
    return {
        "executor": "constant-arrival-rate",
        "exec": "one",
        "rate": rate,
        "duration": duration,
        "preAllocatedVUs": 20,
        "maxVUs": 200,
    } | others


def users(vus: int, duration: str, **others: Any) -> dict[str, Any]:
    return {"executor": "constant-vus", "exec": "one", "vus": vus, "duration": duration} | others


def load(
    server: Server | str,
    flows: dict[str, Callable[[Any], Awaitable[None]]] | None = None,
    thresholds: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **scenarios: dict[str, Any],
) -> LoadResult:
    """Run scenarios against a server."""
    test = {"scenarios": scenarios, "thresholds": PATIENT | (thresholds or {})}
    url = server if isinstance(server, str) else server.url
    return run_load(test, url, flows={"one": one, **(flows or {})}, **options or {})


def p95(result: LoadResult, metric: str, scenario: str) -> float:
    """Over the whole run, in milliseconds."""
    length = int(result.seconds) + 1
    windows = result.windows(f"{metric}{{scenario:{scenario}}}", "p(95)<1", length)
    return float(windows["value"][0])


def total(result: LoadResult, metric: str) -> float:
    rows = result.requests
    return float(rows["total"][rows["metric"] == metric].sum())


def summed(result: LoadResult, metric: str, column: str) -> Any:
    """Of the summary, without regard to names."""
    rows = result.summary().set_index(["metric", "name"])
    return rows.at[(metric, ""), column]
