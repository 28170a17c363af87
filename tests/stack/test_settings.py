"""What a service is told by its environment."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tarslab.errors import BadArgument
from tarslab.stack.settings import Settings

NEEDED = {"TARSLAB_STACK_REDIS_URL": "redis://:hush@host/0", "TARSLAB_STACK_SECRET": "confidential"}


def environment(**others: str) -> dict[str, str]:
    """Variables that suffice, and others."""
    return {
        **NEEDED,
        "TARSLAB_STACK_DATA": "data",
        **{f"TARSLAB_STACK_{name}": value for name, value in others.items()},
    }


def test_settings_come_from_variables_with_their_prefix():
    found = Settings.from_environment(
        environment(PORT="8123", TETHER="1", SIGNING_SECRET="private", RECORDINGS="")
        | {"PORT": "1", "TARSLAB_CACHE": "elsewhere"}
    )
    assert found.port == 8123
    assert found.tether
    assert found.data == Path("data")
    assert found.recordings == ()
    assert found.secret.get_secret_value() == "confidential"
    assert found.signing_secret is not None
    assert found.signing_secret.get_secret_value() == "private"


def test_the_environment_of_this_process_is_the_default(monkeypatch: pytest.MonkeyPatch):
    for name, value in environment(ISSUER="here").items():
        monkeypatch.setenv(name, value)
    assert Settings.from_environment().issuer == "here"


def test_recordings_are_paths_as_of_a_search_path():
    found = Settings.from_environment(environment(RECORDINGS=os.pathsep.join(["a.db", "", "b"])))
    assert found.recordings == (Path("a.db"), Path("b"))


def test_the_minimum_grace_is_the_longest_token_life_and_the_skew_and_the_cache_life():
    found = Settings.from_environment(
        environment(
            ACCESS_SECONDS="100", SKEW_SECONDS="7", JWKS_CACHE_SECONDS="20", GRACE_SECONDS="127"
        )
    )
    assert found.minimum_grace == 127


def test_a_grace_below_the_minimum_is_refused_with_the_figure():
    said = r"a grace of 299 s .* at least 300 s \(token life 240 \+ skew 30 \+ JWKS cache 30\)"
    with pytest.raises(BadArgument, match=said):
        Settings.from_environment(environment(GRACE_SECONDS="299"))


@given(st.integers(1, 900), st.integers(0, 300), st.integers(0, 10_000), st.integers(-2, 2))
def test_settings_hold_exactly_where_the_grace_covers_tokens(
    access: int, skew: int, cache: int, more: int
):
    asked = environment(
        ACCESS_SECONDS=str(access),
        SKEW_SECONDS=str(skew),
        JWKS_CACHE_SECONDS=str(cache),
        GRACE_SECONDS=str(access + skew + cache + more),
    )
    if more >= 0:
        Settings.from_environment(asked)
    else:
        with pytest.raises(BadArgument, match=f"at least {access + skew + cache} s"):
            Settings.from_environment(asked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("ACCESS_SECONDS", "901"),
        ("ACCESS_SECONDS", "0"),
        ("SKEW_SECONDS", "-1"),
        ("REDIS_TIMEOUT", "0"),
        ("MAX_BODY_BYTES", "10"),
        ("PROT", "8000"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str):
    with pytest.raises(BadArgument, match=f"TARSLAB_STACK_{name}: "):
        Settings.from_environment(environment(**{name: value}))


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(BadArgument, match=r"REDIS_URL.*SECRET.*DATA"):
        Settings.from_environment({})


def test_secrets_are_not_shown():
    secrets = {"SIGNING_SECRET": "private", "ADMIN_PASSWORD": "open sesame"}
    found = Settings.from_environment(environment(**secrets))
    with pytest.raises(BadArgument) as wrong:
        Settings.from_environment(environment(**secrets, GRACE_SECONDS="1", PORT="hush"))
    with pytest.raises(ValidationError) as direct:
        Settings(**{**settings_of_wrong_types(), "secret": "confidential"})
    shown = f"{found!r} {found} {found.model_dump_json()} {wrong.value} {direct.value}"
    assert re.findall("hush|confidential|private|open sesame", shown) == []


def settings_of_wrong_types() -> dict[str, Any]:
    """Secrets where they do not belong."""
    return {"redis_url": "redis://:hush@host", "data": "data", "port": "private"}


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings.from_environment(environment()).port = 1
