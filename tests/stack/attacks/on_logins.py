"""Attacks on signing in: guessing passwords, finding out names, asking for more than is due."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import httpx
from argon2 import PasswordHasher
from fastapi._compat import ModelField

from tarslab.stack.orchestration import api_keys, auth, users
from tarslab.stack.security.passwords import AT_ONCE, Passwords
from tarslab.stack.web.bodies import Body
from tests.stack.attacks.attack import Attack, Mutate, constant, without
from tests.stack.attacks.on_keys import is_kept
from tests.stack.served import PASSWORD, Served

BURST = 40


def burst(served: Served) -> bool:
    """Many guesses at once, before the first of them is counted."""
    served.user(name := _name(), "viewer")
    with verifications() as hashed, ThreadPoolExecutor(BURST) as threads:
        answers = list(threads.map(lambda guess: sign_in(served, name, str(guess)), range(BURST)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) <= {401, 429}
    assert len(hashed) == statuses.count(401)
    return len(hashed) > served.settings.login_failures_per_user + AT_ONCE


def guessed_at_last(served: Served) -> bool:
    """The right password, after too many wrong ones."""
    served.user(name := _name(), "viewer")
    for guess in range(served.settings.login_failures_per_user):
        assert sign_in(served, name, str(guess)).status_code == 401
    return sign_in(served, name).status_code == 200


def one_guess_of_many_names(served: Served) -> bool:
    """The same password for very many names, from one address."""
    most = served.settings.login_failures_per_address
    statuses = [sign_in(served, _name()).status_code for _ in range(most + 1)]
    return statuses[-1] == 401


def work_for_an_unknown_user(served: Served) -> bool:
    """Names found out by the time: as many passwords must be hashed for those that nobody has."""
    served.user(name := _name(), "viewer")
    work = []
    for username in (name, _name()):
        with verifications() as hashed:
            sign_in(served, username, "wrong")
        work.append(hashed)
    (known,), unknown = work
    parameters = known.split("$")[1:4]
    return not (len(unknown) == 1 and unknown[0].split("$")[1:4] == parameters)


def answer_for_an_unknown_user(served: Served) -> bool:
    """Names found out by the answer."""
    served.user(name := _name(), "viewer")
    known, unknown = (_comparable(sign_in(served, user, "wrong")) for user in (name, _name()))
    return known != unknown


def throttle_of_an_unknown_user(served: Served) -> bool:
    """Names found out by when it is too much."""
    served.user(name := _name(), "viewer")
    tries = range(served.settings.login_failures_per_user + 1)
    known, unknown = (
        [sign_in(served, user, "wrong").status_code for _ in tries] for user in (name, _name())
    )
    return known != unknown


def password_as_user_name(served: Served) -> bool:
    """A password that somebody typed into the wrong field, read in Redis or in the folder."""
    typed = f"p{uuid.uuid4().hex}"
    sign_in(served, typed, "x")
    return is_kept(served, typed)


def role_in_a_login(served: Served) -> bool:
    """A login that says which role it would like."""
    served.user(name := _name(), "viewer")
    body = {"username": name, "password": PASSWORD, "role": "admin"}
    return served.client.post("/auth/login", json=body).status_code != 422


def members_of_a_user(served: Served) -> bool:
    """A user to be, with members that are not the client's to say."""
    extras = ({"disabled": False}, {"created_at": 0}, {"scopes": ["users:write"]}, {"admin": True})
    body = {"password": PASSWORD, "role": "viewer"}
    return any(
        served.ask("POST", "/users", json={"username": _name(), **body, **extra}).status_code != 422
        for extra in extras
    )


def members_of_a_key(served: Served) -> bool:
    """An API key to be, with members that are not the client's to say."""
    extras = (
        {"role": "admin"},
        {"owner": "admin"},
        {"id": "0" * 32},
        {"digest": "0"},
        {"key": "x"},
    )
    body = {"name": "key", "scopes": ["agents:read"]}
    return any(
        served.ask("POST", "/api-keys", json={**body, **extra}).status_code != 422
        for extra in extras
    )


@contextmanager
def verifications() -> Iterator[list[str]]:
    """The hashes that passwords are held against meanwhile."""
    hashed: list[str] = []
    verify, lock = PasswordHasher.verify, threading.Lock()

    def counted(self: PasswordHasher, kept: str, password: str) -> Any:
        with lock:
            hashed.append(kept)
        # What a hash costs that is not made cheap for tests.
        time.sleep(0.01)
        return verify(self, kept, password)

    with patch.object(PasswordHasher, "verify", counted):
        yield hashed


def sign_in(served: Served, username: str, password: str = PASSWORD) -> httpx.Response:
    """A login."""
    body = {"username": username, "password": password}
    return served.client.post("/auth/login", json=body)


def _comparable(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """All of an answer but what differs each time."""
    headers = dict(answer.headers)
    for name in ("date", "x-request-id", "ratelimit"):
        del headers[name]
    body = answer.json()
    del body["request_id"]
    return answer.status_code, headers, body


def _name() -> str:
    return f"u{uuid.uuid4().hex}"


def _lenient(model: type[Body]) -> Mutate:
    """Leave out what a body says that is not known."""
    validate = ModelField.validate

    def lenient(self: ModelField, value: Any, *arguments: Any, **options: Any) -> Any:
        if self.field_info.annotation is model:
            value = {name: value[name] for name in model.model_fields if name in value}
        return validate(self, value, *arguments, **options)

    return constant(ModelField, "validate", lenient)


_COUNT = without(auth._failed, "await here.take(limit, bucket)", "None")
_LOOK = without(auth._throttled, "not verdict.allowed", "False")

ATTACKS = [
    Attack(
        "a burst of guesses",
        burst,
        without(Passwords.slot.__wrapped__, "async with self._slots:", "if True:"),  # type: ignore[attr-defined]
    ),
    Attack("guesses that are not counted", burst, _COUNT),
    Attack("the right guess after too many", guessed_at_last, _LOOK),
    Attack(
        "one guess of many names",
        one_guess_of_many_names,
        without(auth._failure_limits, ", (here.failures_of_address, address)]", "]"),
    ),
    Attack(
        "a name found out by the time",
        work_for_an_unknown_user,
        without(Passwords.verify, "right = await", "right = hashed is not None and await"),
    ),
    Attack(
        "a name found out by the answer",
        answer_for_an_unknown_user,
        without(
            auth._proven, "unauthorized(WRONG)", 'unauthorized(WRONG if user else "no such user")'
        ),
    ),
    Attack(
        "a name found out by the throttle",
        throttle_of_an_unknown_user,
        without(
            auth._failed,
            "await here.take(limit, bucket)",
            "user and await here.take(limit, bucket)",
        ),
    ),
    Attack(
        "a password in place of the user name",
        password_as_user_name,
        without(
            auth._failure_limits,
            "(here.failures_of_user, mark)",
            "(here.failures_of_user, username)",
        ),
    ),
    Attack("a role in a login", role_in_a_login, _lenient(auth.Credentials)),
    Attack("members of a user", members_of_a_user, _lenient(users.NewUser)),
    Attack("members of an API key", members_of_a_key, _lenient(api_keys.NewKey)),
]
