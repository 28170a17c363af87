"""The tab of the signing keys."""

from tests.dashboards.operator.person import Person, cells
from tests.stack.served import PASSWORD, Served, Valkey

# Of the settings in conftest: 60 s of a token, 30 s of skew, 30 s of the JWKS.
LEAST = 120


def test_the_ring_is_shown_with_states_lives_and_live_tokens(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        assert cells(tab.table, "State") == ["active", "next"]
        assert cells(tab.table, "Live tokens") == ["1", "0"]
        assert "<dd>normal</dd>" in tab.lives.value
        assert "2 min: an access token lives 1 min, clocks may differ by 30 s" in tab.lives.value
        assert tab.rotate.fields[0]["hint"] == f"At least {LEAST}; empty for the service's own."

    live(story)


def test_a_rotation_is_rehearsed_for_the_question_and_the_grace_is_counted_down(
    live, service: Served
) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        before = service.get("/jwt/status")["keys"]
        ada.press(tab.rotate)
        asked = await ada.question()
        assert f"{before[1]['kid'][:8]}… signs from now on." in asked
        assert f"{before[0]['kid'][:8]}… signs no more, and verifies until " in asked
        assert "none will break." in asked
        ada.answer(False)
        await ada.until(lambda: not tab.rotate.pending)
        assert service.get("/jwt/status")["keys"] == before

        await ada.submit(tab.rotate, grace_seconds=str(LEAST))
        assert tab.rotate.note == f"{before[1]['kid'][:8]}… signs now."
        await ada.dashboard.refresh()
        assert cells(tab.table, "State") == ["grace", "active", "next"]
        assert cells(tab.table, "Verifies for")[0] in ("2:01", "2:00", "1:59")
        service.clock.advance(60)
        await ada.sign_in(service.url, PASSWORD)
        await ada.dashboard.refresh()
        assert cells(tab.table, "Verifies for")[0] in ("1:01", "1:00", "0:59", "0:58")

    live(story)


def test_a_rotation_that_comes_too_early_is_refused_with_a_countdown(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        await ada.submit(tab.rotate)
        await ada.dashboard.refresh()
        await ada.submit(tab.rotate)
        assert "must stay published" in tab.rotate.note
        assert 25 <= tab.rotate.wait <= 31
        assert not ada.asked

    live(story)


def test_a_rotation_that_somebody_else_was_faster_with_is_waited_out(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        ada.press(tab.rotate)
        await ada.question()
        service.post("/jwt/rotate", {})
        ada.answer(True)
        await ada.until(lambda: not tab.rotate.pending)
        assert "must stay published" in tab.rotate.note
        assert 1 <= tab.rotate.wait <= 30

    live(story)


def test_a_grace_that_is_too_short_or_no_number_is_said_at_the_field(live) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        await ada.submit(tab.rotate, grace_seconds="5")
        assert f"it must be at least {LEAST} s" in tab.rotate.errors["grace_seconds"]
        await ada.submit(tab.rotate, grace_seconds="soon")
        assert tab.rotate.errors["grace_seconds"] == "'soon' is no number of seconds."
        assert not ada.asked

    live(story)


def test_an_invalidation_names_what_breaks_and_the_dashboard_goes_on(live, service: Served) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        tab = ada.dashboard.signing_keys
        active, following = (key["kid"] for key in service.get("/jwt/status")["keys"])
        # The dashboard's and that of the test.
        assert tab.invalidate.blocked == "Choose a key in the table."
        await ada.dashboard.refresh()
        tab.table.selected = active
        ada.press(tab.invalidate, reason="leaked")
        asked = await ada.question()
        assert "It signs now: the next key takes over at once." in asked
        assert "Its 2 live tokens break at once" in asked
        ada.answer(True)
        await ada.until(lambda: not tab.invalidate.pending)
        assert "is invalid, 2 tokens broken" in tab.invalidate.note
        # The dashboard's own token broke, too, and was renewed.
        await ada.dashboard.refresh()
        assert cells(tab.table, "State") == ["invalidated", "active", "next"]
        assert tab.invalidate.blocked == "It is invalidated already."
        assert tab.table.rows[1]["key"] == following
        await ada.open("Audit")
        await ada.submit(ada.dashboard.audit.apply, action="jwt.invalidate")
        ada.dashboard.audit.table.selected = ada.dashboard.audit.table.rows[0]["key"]
        assert "leaked" in ada.dashboard.audit.event.value

    live(story)


def test_without_redis_the_mode_says_so_and_no_key_can_be_rotated(
    live, service: Served, valkey: Valkey
) -> None:
    async def story(ada: Person) -> None:
        await ada.open("Signing keys")
        valkey.kill()
        tab = ada.dashboard.signing_keys
        await ada.until(lambda: not service.core.store.up)
        await ada.dashboard.refresh()
        assert "legacy" in ada.dashboard.masthead.mode
        assert "<dd>legacy</dd>" in tab.lives.value
        assert tab.rotate.blocked == "Not while Redis is out."
        assert cells(tab.table, "Live tokens") == ["unknown", "unknown"]

    try:
        live(story)
    finally:
        valkey.start()
