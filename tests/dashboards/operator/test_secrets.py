"""Passwords, tokens and keys: nowhere but where they are needed."""

import asyncio
import gc
import json
import re
from typing import Any

import ipywidgets

from tarslab.admin import Secret
from tarslab.dashboards.operator.parts import Field, Form, ShownOnce
from tests.dashboards.operator.person import Line, Person, received, tell
from tests.stack.served import PASSWORD, Served

# Access tokens (RFC 7519), the stack's refresh tokens, and API keys.
TOKENS = re.compile(r"eyJ[\w-]{10,}|tar[rs]_\w{20,}")


def test_after_use_no_secret_has_gone_to_the_front_end_but_the_new_key_once(
    live, service: Served, capfd, caplog
) -> None:
    caplog.set_level("DEBUG")

    async def story(ada: Person) -> None:
        dashboard = ada.dashboard
        await ada.sign_in(service.url, "my other password")
        await ada.sign_in(service.url, PASSWORD)
        for title in ("Agents", "API keys", "Signing keys", "Audit", "Health"):
            await ada.open(title)
        await ada.open("API keys")
        tab = dashboard.api_keys
        await ada.submit(tab.create, name="ci", scopes=["agents:read"])
        tell(tab.shown, {"want": tab.shown.ticket})
        await dashboard.refresh()
        (handed,) = received(tab.shown)
        assert TOKENS.fullmatch(handed["key"])

        sent = [json.dumps(one, default=str) for one in Line.sent]
        with_key = [one for one in sent if handed["key"] in one]
        assert len(with_key) == 1
        others = "\n".join(one for one in sent if one not in with_key)
        for words in (PASSWORD, "my other password"):
            assert words not in "\n".join(sent)
        assert not TOKENS.search(others)
        # What a notebook saves of its widgets.
        state = json.dumps(ipywidgets.Widget.get_manager_state(), default=str)
        assert "signed in as admin" in state
        for words in (PASSWORD, handed["key"]):
            assert words not in state
        assert not TOKENS.search(state)
        printed = "".join([*capfd.readouterr(), caplog.text, repr(dashboard), str(vars(dashboard))])
        assert PASSWORD not in printed
        assert not TOKENS.search(printed)

    live(story)


def test_the_message_that_brought_a_password_does_not_keep_it() -> None:
    form = Form("Sign in", "…", [Field("password", "Password", "password")])
    got: list[Any] = []
    form.submitted = got.append
    message = {"submit": 0, "values": {}, "secrets": {"password": PASSWORD}}
    tell(form, message)
    assert PASSWORD not in str(message)
    assert got[0]["password"].reveal() == PASSWORD
    assert PASSWORD not in str(got)
    assert PASSWORD not in str(form.get_state())


def test_a_password_of_a_click_that_does_not_count_is_dropped_as_well() -> None:
    form = Form("Sign in", "…", [Field("password", "Password", "password")])
    message = {"submit": 17, "values": {}, "secrets": {"password": PASSWORD}}
    tell(form, message)
    assert PASSWORD not in str(message)


def test_the_password_is_not_kept_after_signing_in(live, service: Served) -> None:
    password = "a password of this test alone"
    body = {"username": "pia", "password": password, "role": "viewer"}
    assert service.ask("POST", "/users", json=body).status_code == 201

    async def story(pia: Person) -> None:
        await pia.sign_in(service.url, password, username="pia")
        assert pia.dashboard.session.me is not None
        gc.collect()
        held = [one.reveal() for one in gc.get_objects() if isinstance(one, Secret)]
        assert any(TOKENS.match(text) for text in held)
        assert password not in held

    live(story, signed_in=False)


def test_what_was_handed_over_or_hidden_is_held_no_more() -> None:

    async def story() -> None:
        shown = ShownOnce()
        shown.show(Secret("tars_one"), "Key")
        tell(shown, {"want": shown.ticket})
        assert "tars_one" not in str([getattr(v, "reveal", str)() for v in vars(shown).values()])
        shown.show(Secret("tars_two"), "Key")
        shown.close()
        assert "tars_two" not in str([getattr(v, "reveal", str)() for v in vars(shown).values()])

    asyncio.run(story())
