"""Somebody who calls a stack's API."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from tarslab.stack import Stack
from tests.stack.waiting import LIMIT

PASSWORD = "correct horse battery staple"


class Api:
    """A client of the API at ``url`` with an access token or an API key, or with neither."""

    def __init__(self, url: str, credential: str | None = None) -> None:
        headers = {}
        if credential is not None:
            by_key = credential.startswith("tars_")
            headers = (
                {"X-API-Key": credential} if by_key else {"Authorization": f"Bearer {credential}"}
            )
        self.client = httpx.Client(base_url=url, headers=headers, timeout=LIMIT, trust_env=False)

    def get(self, path: str, **params: Any) -> Any:
        """What a GET that succeeds answers."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        """What a POST that succeeds answers."""
        answer = self.client.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """Status and detail of a problem."""
        answer = self.client.request(method, path, json=body, **options)
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == answer.status_code
        return answer.status_code, problem["detail"]

    def all(self, path: str, **params: Any) -> list[Any]:
        """All items of a list, page by page."""
        items, cursor = [], None
        while True:
            page = self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items


class Callers:
    """Signs in to one stack."""

    def __init__(self, stack: Stack, held: ExitStack) -> None:
        self._stack = stack
        self._held = held
        self.admin = self.signed_in("admin", stack.admin_password)

    def nobody(self) -> Api:
        """Without credentials."""
        return self._of(None)

    def signed_in(self, username: str, password: str) -> Api:
        """A user with an access token."""
        body = {"username": username, "password": password}
        return self._of(self.nobody().post("/auth/login", body)["access_token"])

    def user(self, username: str, role: str) -> Api:
        """A new user, signed in."""
        body = {"username": username, "password": PASSWORD, "role": role}
        self.admin.post("/users", body)
        return self.signed_in(username, PASSWORD)

    def key(self, name: str, *scopes: str) -> Api:
        """A new API key of admin's."""
        return self._of(self.admin.post("/api-keys", {"name": name, "scopes": scopes})["key"])

    def _of(self, credential: str | None) -> Api:
        api = Api(self._stack.url, credential)
        self._held.callback(api.client.close)
        return api


@contextmanager
def callers_of(stack: Stack) -> Iterator[Callers]:
    """Callers whose connections are closed at the end."""
    with ExitStack() as held:
        yield Callers(stack, held)
