"""What the services say of themselves in OpenAPI, and whether they keep to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from tarslab.stack.orchestration.recordings import RECORDED
from tarslab.stack.security.scopes import Scope
from tests.stack.conftest import Serve
from tests.stack.served import Served, Valkey, settings_of
from tests.stack.waiting import LIMIT

# The contract of the API: with an access token or API key, and without.
PUBLIC = {
    ("POST", "/auth/login"),
    ("POST", "/auth/refresh"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
}
HEALTH = {("GET", "/health/live"), ("GET", "/health/ready")}
ROUTES = {
    "orchestration": PUBLIC
    | {
        ("POST", "/auth/logout"),
        ("GET", "/auth/me"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("DELETE", "/users/{username}"),
        ("GET", "/agents"),
        ("GET", "/agents/{agent_id}"),
        ("GET", "/agents/{agent_id}/metrics"),
        ("POST", "/agents/{agent_id}/reload"),
        ("POST", "/agents/{agent_id}/promote"),
        ("POST", "/agents/{agent_id}/rollback"),
        ("GET", "/api-keys"),
        ("POST", "/api-keys"),
        ("GET", "/api-keys/{key_id}"),
        ("DELETE", "/api-keys/{key_id}"),
        ("POST", "/api-keys/{key_id}/rotate"),
        ("GET", "/jwt/status"),
        ("POST", "/jwt/rotate"),
        ("POST", "/jwt/keys/{kid}/invalidate"),
        ("GET", "/audit"),
        ("GET", "/audit/verify"),
        ("POST", "/maintenance/cleanup"),
        ("GET", "/health/services"),
    },
    "automl": HEALTH
    | {
        ("GET", "/objectives"),
        ("GET", "/studies"),
        ("POST", "/studies"),
        ("GET", "/studies/{name}"),
        ("GET", "/studies/{name}/trials"),
        ("GET", "/studies/{name}/trials/{number}"),
        ("GET", "/studies/{name}/best"),
        ("POST", "/studies/{name}/stop"),
    },
    "hypersync": HEALTH
    | {
        ("GET", "/proposals"),
        ("POST", "/proposals"),
        ("GET", "/proposals/{proposal_id}"),
        ("POST", "/proposals/{proposal_id}/approve"),
        ("POST", "/proposals/{proposal_id}/reject"),
    },
}
STUDY = "cartpole-a2c"


class Services(NamedTuple):
    """All three, and an API key that may do everything."""

    urls: dict[str, str]
    key: str
    there: dict[str, str]
    """Something that is there, by the name of its path parameter."""

    def spec(self, service: str) -> dict[str, Any]:
        """A service's OpenAPI."""
        answer = requests.get(f"{self.urls[service]}/openapi.json", timeout=LIMIT)
        return dict(answer.json())


@pytest.fixture
def services(serve: Serve, valkey: Valkey, tmp_path: Path) -> Iterator[Services]:
    """In this process."""
    many: dict[str, Any] = {"requests_per_second": 1_000_000}
    orchestration = serve(valkey, **many)
    own = {"redis_url": valkey.url, "clock": orchestration.settings.clock} | many
    automl = Served(settings_of(tmp_path / "automl", **own), "automl")
    beside = {"automl_url": automl.url}
    hypersync = Served(settings_of(tmp_path / "hypersync", **own, **beside), "hypersync")
    everything = {"name": "of a test", "scopes": [scope.value for scope in Scope]}
    key = orchestration.post("/api-keys", everything)["key"]
    orchestration.user("carol", "viewer")
    proposal = requests.post(
        f"{hypersync.url}/proposals",
        json={"agent": "a2c", "study": STUDY, "trial": 0},
        headers={"X-API-Key": key},
        timeout=LIMIT,
    )
    assert proposal.status_code == 201, proposal.text
    there = {
        "agent_id": next(iter(RECORDED)),
        "key_id": orchestration.post("/api-keys", everything)["id"],
        "kid": orchestration.get("/jwt/status")["keys"][0]["kid"],
        "username": "carol",
        "name": STUDY,
        "number": "0",
        "proposal_id": proposal.json()["id"],
    }
    found = {"orchestration": orchestration, "automl": automl, "hypersync": hypersync}
    yield Services({name: one.url for name, one in found.items()}, key, there)
    hypersync.stop()
    automl.stop()


def each_operation(url: str, check: Callable[[Any], None]) -> None:
    """Have every operation of a service checked."""
    count = 0
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        assert isinstance(found, Ok)
        check(found.ok())
        count += 1
    assert count > 0


@pytest.mark.parametrize("service", ROUTES)
def test_each_route_of_the_contract_is_named_and_no_other(services: Services, service: str):
    paths = services.spec(service)["paths"]
    named = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert named == ROUTES[service]


@pytest.mark.parametrize("service", ROUTES)
def test_what_needs_credentials_says_so_and_is_401_without(services: Services, service: str):
    for path, methods in services.spec(service)["paths"].items():
        for method, operation in methods.items():
            public = (method.upper(), path) in PUBLIC
            needed = [next(iter(one)) for one in operation.get("security", [])]
            assert sorted(needed) == ([] if public else ["API key", "access token"])
            if not public:
                url = services.urls[service] + path.format_map(services.there)
                answer = requests.request(method, url, timeout=LIMIT)
                assert answer.status_code == 401, url
                assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("service", ROUTES)
def test_each_problem_that_an_operation_can_have_is_a_problem_of_rfc_9457(
    services: Services, service: str
):
    spec = services.spec(service)
    members = spec["components"]["schemas"]["ProblemBody"]["properties"]
    assert {"type", "title", "status", "detail", "instance"} <= set(members)
    for methods in spec["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                media = list(response.get("content", {}))
                assert (media == ["application/problem+json"]) == (int(status) >= 400)


@pytest.mark.parametrize("there", [True, False], ids=["what is there", "anything"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("service", ROUTES)
def test_each_response_is_as_it_was_said(
    services: Services, service: str, mode: GenerationMode, there: bool
):
    url = services.urls[service]
    # Which credentials are needed is tested above. What a schema allows may be wrong all the same:
    # a cursor that no list gave out, a key used already.
    excluded = [ignored_auth, positive_data_acceptance]
    if there:
        # What was wrong with the path is right then.
        excluded.append(negative_data_rejection)
    with requests.Session() as session:

        def check(operation: Any) -> None:
            if mode is GenerationMode.NEGATIVE and not can_be_wrong(operation):
                return
            statuses = set()

            @settings(
                max_examples=8,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.as_strategy(generation_mode=mode))
            def answered(case: "Case[Any]") -> None:
                if there:
                    known = {name: services.there[name] for name in case.path_parameters or {}}
                    case.path_parameters = known
                response = case.call_and_validate(
                    base_url=url,
                    session=session,
                    headers={"X-API-Key": services.key},
                    timeout=LIMIT,
                    excluded_checks=excluded,
                )
                statuses.add(response.status_code)

            answered()
            if there and mode is GenerationMode.POSITIVE and operation.method == "get":
                assert 200 in statuses, operation.label

        each_operation(url, check)


def can_be_wrong(operation: Any) -> bool:
    """Whether a request can be at odds with the schema."""
    return bool(
        operation.body
        or operation.query
        or operation.path_parameters
        or any(one.definition["name"] == "Idempotency-Key" for one in operation.headers)
    )
