"""Thresholds in k6's grammar."""

import pytest

from tarslab.chaos.load.thresholds import Expression, Selector, check


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        # Examples of k6's documentation of thresholds.
        ("p(95)<500", ("p", 95, "<", 500)),
        ("p(99.9) < 2000", ("p", 99.9, "<", 2000)),
        ("avg<200", ("avg", 0, "<", 200)),
        ("med<200", ("med", 50, "<", 200)),
        ("rate>=0.95", ("rate", 0, ">=", 0.95)),
        ("count==0", ("count", 0, "==", 0)),
        ("value!=-1.5", ("value", 0, "!=", -1.5)),
        ("rate===1", ("rate", 0, "===", 1)),
    ],
)
def test_an_expression_is_a_method_an_operator_and_a_number(
    text: str, parsed: tuple[object, ...]
) -> None:
    assert Expression.parse(text) == parsed


@pytest.mark.parametrize("text", ["p95<500", "p(101)<5", "avg", "<500", "avg<5ms", "sum<3", ""])
def test_what_is_none_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as p\(95\)<500"):
        Expression.parse(text)


def test_a_selector_is_a_metric_with_tags() -> None:
    selector = Selector.parse('http_req_duration{ name:login , expected_response:"true" }')
    assert selector.metric == "http_req_duration"
    assert selector.tags == (("name", "login"), ("expected_response", "true"))
    assert str(selector) == "http_req_duration{name:login,expected_response:true}"
    assert selector.selects(
        "http_req_duration", {"name": "login", "expected_response": "true", "method": "POST"}
    )
    assert not selector.selects("http_req_duration", {"name": "login"})
    assert not selector.selects("http_reqs", {"name": "login", "expected_response": "true"})


def test_the_value_of_a_tag_may_have_a_colon() -> None:
    assert Selector.parse("http_reqs{name:http://x}").tags == (("name", "http://x"),)


@pytest.mark.parametrize("text", ["", "a-b", "http_reqs{name}", "http_reqs{name:x", "{name:x}"])
def test_what_selects_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        Selector.parse(text)


@pytest.mark.parametrize(
    ("metric", "expression", "problem"),
    [
        ("http_req_failed", "p(95)<5", "is a rate: it has rate, not"),
        ("http_reqs", "avg<5", "is a counter: it has count, rate, not avg"),
        ("http_req_duration", "rate<5", "is a trend"),
        ("vus", "count<5", "is a gauge: it has value, not count"),
        ("http_req_waiting", "avg<5", "is not measured; there are .*http_req_duration"),
        ("my_own", "value<5", "is a flow's own"),
    ],
)
def test_a_metric_has_the_methods_of_its_kind(metric: str, expression: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check(Selector.parse(metric), Expression.parse(expression))


def test_nothing_holds_of_what_was_not_measured() -> None:
    assert Expression.parse("avg<5").holds(4.9)
    assert not Expression.parse("avg<5").holds(5)
    assert not Expression.parse("avg!=5").holds(float("nan"))
