"""Lists, fetched as they are gone through, and tables."""

import asyncio
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarslab.admin import AdminClient, AsyncAdminClient, Secret, Unavailable, Unexpected, models
from tests.admin import answers
from tests.admin.asking import Ask, ask_awaiting, ask_blocking
from tests.admin.service import Answer, Service, problem

URL = "http://localhost:9"


class Pager:
    """Answers a list of users in pages of given lengths; the cursor is the number of the page."""

    def __init__(self, lengths: list[int]) -> None:
        names = iter(range(sum(lengths)))
        self.pages = [
            [answers.USER | {"username": f"u{next(names)}"} for _ in range(length)]
            for length in lengths
        ]
        self.asked: list[str | None] = []
        self.transport = httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        query = parse_qs(urlsplit(str(request.url)).query)
        cursor = query.get("cursor", [None])[0]
        self.asked.append(cursor)
        number = int(cursor or 0)
        following = str(number + 1) if number + 1 < len(self.pages) else None
        return httpx.Response(200, json=answers.page(*self.pages[number], cursor=following))

    @property
    def names(self) -> list[str]:
        return [str(user["username"]) for page in self.pages for user in page]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_every_item_of_every_page_comes_once_and_in_order(lengths: list[int]) -> None:
    for ask in (ask_blocking, ask_awaiting):
        pager = Pager(lengths)
        (users,) = ask(lambda c: c.users.list(), url=URL, api_key="k", transport=pager.transport)
        assert [user.username for user in users] == pager.names
        assert pager.asked == [None, *map(str, range(1, len(lengths)))]


def test_a_page_is_fetched_when_its_first_item_is_asked_for() -> None:
    pager = Pager([2, 2, 2])
    with AdminClient(URL, api_key="k", transport=pager.transport) as client:
        users = client.users.list()
        assert pager.asked == []
        assert [next(users).username, next(users).username] == ["u0", "u1"]
        assert pager.asked == [None]
        assert next(users).username == "u2"
        assert pager.asked == [None, "1"]
        assert [user.username for user in users] == ["u3", "u4", "u5"]
        assert list(users) == []


def test_a_page_is_fetched_when_its_first_item_is_awaited() -> None:
    pager = Pager([1, 1])

    async def main() -> None:
        async with AsyncAdminClient(URL, api_key="k", transport=pager.transport) as client:
            users = client.users.list()
            assert pager.asked == []
            assert (await anext(users)).username == "u0"
            assert pager.asked == [None]
            assert [user.username async for user in users] == ["u1"]

    asyncio.run(main())


def test_after_an_error_a_list_goes_on_where_it_was(service: Service) -> None:
    first = Answer(200, answers.page(answers.USER, cursor="1"))
    second = Answer(200, answers.page(answers.USER | {"username": "bob"}))
    service.tell("GET /users", first, problem(503, "not now"), second)
    with AdminClient(service.url, api_key="k", retries=0) as client:
        users = client.users.list()
        assert next(users).username == "eve"
        with pytest.raises(Unavailable):
            next(users)
        assert [user.username for user in users] == ["bob"]


def test_a_list_that_leads_back_to_itself_is_no_endless_loop(ask: Ask, service: Service) -> None:
    service.tell("GET /users", Answer(200, answers.page(cursor="1")))
    with pytest.raises(Unexpected, match="no end"):
        ask(lambda c: c.users.list(), url=service.url, api_key="k")


def test_a_list_says_what_it_is() -> None:
    with AdminClient(URL, api_key="k") as client:
        assert repr(client.users.list()) == "<Pages of User: /users>"


def test_a_table_has_the_whole_list_however_far_it_was_gone_through() -> None:
    pager = Pager([2, 1])
    with AdminClient(URL, api_key="k", transport=pager.transport) as client:
        users = client.users.list()
        next(users)
        assert list(users.to_frame()["username"]) == ["u0", "u1", "u2"]
        assert list(users.to_frame()["username"]) == ["u0", "u1", "u2"]
        assert [user.username for user in users] == ["u1", "u2"]


def table(ask: Ask, call: Any, *items: Any) -> pd.DataFrame:
    """The table of a list of items, in either client."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answers.page(*items)))
    frame = ask(lambda c: call(c).to_frame(), url=URL, api_key="k", transport=transport)[0]
    assert isinstance(frame, pd.DataFrame)
    return frame


def test_the_table_of_users_has_times_as_such(ask: Ask) -> None:
    frame = table(ask, lambda c: c.users.list(), answers.USER)
    assert list(frame.columns) == ["username", "role", "disabled", "created_at"]
    # 1.7e9 s is 2023-11-14 22:13:20 UTC.
    assert frame["created_at"].iloc[0] == pd.Timestamp("2023-11-14 22:13:20", tz="UTC")


def test_the_table_of_api_keys_has_missing_times(ask: Ask) -> None:
    frame = table(ask, lambda c: c.api_keys.list(), answers.API_KEY)
    assert frame["expires_at"].isna().all()
    assert isinstance(frame["expires_at"].dtype, pd.DatetimeTZDtype)
    assert frame["scopes"].iloc[0] == ("agents:read",)


def test_the_table_of_agents_has_their_hyperparameters(ask: Ask) -> None:
    frame = table(ask, lambda c: c.agents.list(), answers.AGENT)
    row = frame.to_dict("records")[0]
    assert row["id"] == "ppo"
    assert row["hp.learning_rate"] == 0.0003
    assert not {"reward", "versions", "promotions"} & row.keys()


def test_the_table_of_the_audit_log(ask: Ask) -> None:
    frame = table(ask, lambda c: c.audit.list(), answers.EVENT)
    assert frame["time"].iloc[0] == pd.Timestamp("2023-11-14 22:13:20", tz="UTC")
    assert frame["detail"].iloc[0] == {"grace_seconds": 930}


def test_the_table_of_studies_says_the_best_value(ask: Ask) -> None:
    several = answers.STUDY | {
        "objectives": [{"name": "a", "direction": "minimize"}] * 2,
        "best": None,
    }
    frame = table(ask, lambda c: c.studies.list(), answers.STUDY, several)
    assert list(frame["objectives"]) == ["maximize reward", "minimize a, minimize a"]
    assert frame["best"].iloc[0] == 431.5
    assert pd.isna(frame["best"].iloc[1])


def test_the_table_of_trials_has_the_columns_of_optunas(ask: Ask) -> None:
    failed = answers.TRIAL | {"number": 5, "values": None, "params": {}}
    frame = table(ask, lambda c: c.studies.trials("s"), answers.TRIAL, failed)
    assert frame["value"].iloc[0] == 431.5
    assert pd.isna(frame["value"].iloc[1])
    assert frame["params_lr"].iloc[0] == 0.001
    two = answers.TRIAL | {"values": [1.0, None]}
    frame = table(ask, lambda c: c.studies.trials("s"), two)
    assert frame["values_0"].iloc[0] == 1.0
    assert pd.isna(frame["values_1"].iloc[0])


def test_a_table_without_rows_has_its_columns(ask: Ask) -> None:
    for call, columns in [
        (lambda c: c.audit.list(), {"seq", "time", "actor", "action"}),
        (lambda c: c.agents.list(), {"id", "version", "loaded_at"}),
        (lambda c: c.studies.trials("s"), {"number", "state", "duration"}),
    ]:
        frame = table(ask, call)
        assert len(frame) == 0
        assert columns <= set(frame.columns)


def value(answer: Any, kind: type[Any]) -> Any:
    return msgspec.convert(answer, kind, dec_hook=lambda kind, value: kind(value))


def test_metrics_are_a_tidy_table() -> None:
    frame = value(answers.METRICS, models.AgentMetrics).to_frame()
    assert list(frame.columns) == ["agent", "version", "metric", "step", "value"]
    assert frame["step"].to_list() == [0, 10]
    assert frame["value"].iloc[0] == 1.5
    assert pd.isna(frame["value"].iloc[1])
    assert [str(kind) for kind in frame.dtypes[["step", "value"]]] == ["int64", "float64"]
    none = value(answers.METRICS | {"metrics": {}}, models.AgentMetrics).to_frame()
    assert list(none.columns) == list(frame.columns)


def test_other_values_that_are_tables() -> None:
    keys = value(answers.KEY_RING, models.KeyRing).to_frame()
    assert keys["activated_at"].iloc[0] == pd.Timestamp("2023-11-14 22:15:00", tz="UTC")
    broken = value(answers.ROTATION, models.Rotation).to_frame()
    assert list(broken["subject"]) == ["ada"]
    services = value(answers.SERVICES, models.Services).to_frame()
    assert list(services["service"]) == ["automl"]
    assert list(services["detail"]) == ["no answer"]


def test_values_cannot_be_changed() -> None:
    agent = value(answers.AGENT, models.Agent)
    for name in agent.__struct_fields__:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(agent, name, None)
    assert isinstance(agent.versions, tuple)
    assert isinstance(value(answers.NEW_API_KEY, models.NewApiKey).key, Secret)


def test_pandas_is_imported_for_the_first_table_only() -> None:
    program = """
import sys, httpx, tarslab.admin
answer = httpx.MockTransport(lambda r: httpx.Response(200, json={"items": [], "next_cursor": None}))
client = tarslab.admin.AdminClient("http://localhost:9", api_key="k", transport=answer)
list(client.users.list())
print("pandas" in sys.modules, "numpy" in sys.modules, "tarslab.stack" in sys.modules)
client.users.list().to_frame()
print("pandas" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False", "False", "True"]
