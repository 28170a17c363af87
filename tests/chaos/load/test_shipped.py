"""The flows that come with tarslab, on the services that they are for."""

from typing import Any

import pytest

import tarslab as tl
from tarslab.chaos.load import LoadResult, run_load


def names(result: LoadResult) -> set[str]:
    return set(result.summary()["name"]) - {""}


@pytest.fixture(scope="module")
def stack() -> Any:
    with tl.stack.up() as shared:
        yield shared


def test_sustained_asks_for_everything_in_its_mix(stack: Any) -> None:
    result = run_load("sustained", stack, scale=0.003)
    assert names(result) == {
        "/agents",
        "/agents/dqn",
        "/api-keys",
        "/health/live",
        "/health/ready",
        "login",
        "refresh",
        "verify",
    }
    # A busy machine may be slow; what is asked for is right.
    assert set(result.errors["error"]) <= {"HTTP 503", "HTTP 429"}
    metrics = set(result.summary()["metric"])
    assert {"jwt_issue_duration", "jwt_verify_duration"} <= metrics


def test_the_life_of_a_token_is_a_login_five_verifications_and_a_refresh(stack: Any) -> None:
    users = {"executor": "constant-vus", "exec": "jwt", "vus": 1, "duration": "500ms"}
    result = run_load({"scenarios": {"a": users}}, stack)
    assert result.errors.empty
    counts = result.summary().set_index("name")["count"]
    assert counts["login"] == counts["refresh"] >= 1
    assert counts["verify"] == 5 * counts["login"]
    assert set(result.requests["status"]) == {"", "200"}
