"""The users of the stack."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stack.attacks.forging import accepted
from tests.stack.attacks.on_keys import created
from tests.stack.attacks.on_logins import sign_in
from tests.stack.attacks.on_sessions import renewed
from tests.stack.served import PASSWORD


def test_users_are_added_listed_in_pages_and_removed(served):
    for name in ("bob", "ada"):
        body = {"username": name, "password": PASSWORD, "role": "viewer"}
        answer = served.ask("POST", "/users", json=body)
        assert answer.status_code == 201
        shown = answer.json()
        assert shown.pop("created_at") == pytest.approx(served.clock.now(), abs=60)
        assert shown == {"username": name, "role": "viewer", "disabled": False}
    first = served.get("/users", limit=2)
    rest = served.get("/users", limit=2, cursor=first["next_cursor"])
    names = [user["username"] for page in (first, rest) for user in page["items"]]
    assert names == ["ada", "admin", "bob"]
    assert rest["next_cursor"] is None
    assert served.ask("DELETE", "/users/bob").status_code == 204
    assert served.ask("DELETE", "/users/bob").status_code == 404
    assert [user["username"] for user in served.get("/users")["items"]] == ["ada", "admin"]
    actions = [event["action"] for event in served.get("/audit", target="users/bob")["items"]]
    assert actions == ["users.delete", "users.create"]


def test_a_user_name_is_given_once(served):
    body = {"username": "ada", "password": PASSWORD, "role": "viewer"}
    with ThreadPoolExecutor(6) as threads:
        answers = threads.map(lambda _: served.ask("POST", "/users", json=body), range(6))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


def test_a_user_to_be_is_looked_at(served):
    names: list[Any] = ["", "Ada", "key:1", "a" * 65, "ada\n", None]
    changes = [
        *({"username": name} for name in names),
        {"password": "elevenchars"},
        {"password": "x" * 257},
        {"role": "root"},
        {"role": 1},
    ]
    for change in changes:
        body = {"username": "ada", "password": PASSWORD, "role": "viewer", **change}
        assert served.ask("POST", "/users", json=body).status_code == 422, change


def test_the_last_admin_stays(served):
    assert served.ask("DELETE", "/users/admin").status_code == 409
    tokens = [served.user("ada", "admin"), served.login()["access_token"]]

    def remove(token: str, name: str) -> int:
        return int(served.ask("DELETE", f"/users/{name}", token=token).status_code)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(remove, tokens, ("admin", "ada")))
    assert found.count(204) == 1
    assert set(found) <= {204, 401, 409}


def test_of_a_user_who_is_removed_sessions_and_keys_end_at_once(served):
    token = served.user("ada", "admin")
    tokens, key = served.login("ada"), created(served, token)
    assert accepted(served, key["key"])
    assert served.ask("DELETE", "/users/ada").status_code == 204
    assert not accepted(served, token)
    assert not accepted(served, tokens["access_token"])
    assert not accepted(served, key["key"])
    assert renewed(served, tokens["refresh_token"]) is None
    assert sign_in(served, "ada").status_code == 401
    assert served.get(f"/api-keys/{key['id']}")["state"] == "revoked"
