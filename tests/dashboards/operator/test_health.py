"""The tab of health."""

import pytest

from tarslab.dashboards.operator.rates import Rates, Scrape, parse
from tests.dashboards.operator.person import Person, cells
from tests.stack.served import Served


def test_services_and_redis_are_shown(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Health")
        tab = ada.dashboard.health
        assert cells(tab.services, "Service") == ["orchestration", "automl", "hypersync"]
        # The other two are not there.
        assert cells(tab.services, "State") == ["ready", "not ready", "not ready"]
        assert cells(tab.services, "Says")[1] == "not configured"
        assert "up, answers in " in tab.redis.value

    live(story)


def test_rates_come_with_the_second_look_and_count_errors(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Health")
        tab = ada.dashboard.health
        assert cells(tab.table, "A second")[0] == ""
        before = float(cells(tab.table, "In all")[1])
        for _ in range(5):
            service.ask("GET", "/agents/nobody")
        await ada.dashboard.refresh()
        assert float(cells(tab.table, "In all")[1]) == before + 5
        assert float(cells(tab.table, "A second")[1]) > 0
        await ada.dashboard.refresh()
        assert tab.table.rows[0]["cells"][2]["path"].startswith("M0.0 ")

    live(story)


METRICS = """\
# TYPE tars_http_requests_total counter
tars_http_requests_total{method="GET",route="/agents",status="200"} 90
tars_http_requests_total{method="GET",route="/agents",status="403"} 6
tars_http_requests_total{method="POST",route="/auth/login",status="503"} 4
# TYPE tars_rate_limit_hits_total counter
tars_rate_limit_hits_total{limit="default"} 2
tars_rate_limit_hits_total{limit="login"} 1
# TYPE tars_logins_total counter
tars_logins_total{result="ok"} 50
tars_logins_total{result="failed"} 7
tars_logins_total{result="throttled"} 1
"""


def test_metrics_are_counted_by_what_an_operator_asks_for() -> None:
    assert parse(METRICS).counts == {
        "requests": 100,
        "errors of callers (4xx)": 6,
        "errors of the service (5xx)": 4,
        "requests over a rate limit": 3,
        "access tokens refused": 0,
        "logins failed or throttled": 8,
    }


def test_a_rate_is_the_difference_over_the_seconds_between() -> None:
    rates = Rates()
    rates.add(Scrape(10.0, {"requests": 100.0}))
    assert rates.rows()[0].now is None
    rates.add(Scrape(15.0, {"requests": 160.0}))
    assert rates.rows()[0].now == pytest.approx(12.0)
    # At the same moment nothing can be said.
    rates.add(Scrape(15.0, {"requests": 160.0}))
    assert rates.rows()[0].now == pytest.approx(12.0)


def test_a_service_that_has_begun_anew_starts_over() -> None:
    rates = Rates()
    for moment, count in ((0.0, 100.0), (1.0, 110.0), (2.0, 3.0)):
        rates.add(Scrape(moment, {"requests": count}))
    assert rates.rows()[0].now is None
    rates.add(Scrape(3.0, {"requests": 8.0}))
    assert rates.rows()[0].history == [(3.0, 5.0)]
