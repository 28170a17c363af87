"""The operator dashboard as a page, which Voila serves: each thing that an operator does."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Route, expect

import tarslab as tl
from tarslab.admin import AdminClient, Unauthorized
from tarslab.stack import Stack
from tests.browser.operating import TOKENS, Operator, served, stopped

PASSWORD = "a password that users of these tests have"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # What throttled logins are waited out for.
    with tl.stack.up(settings={"login_refill_seconds": 10}) as stack:
        yield stack


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[AdminClient]:
    """What happens behind the page's back."""
    with AdminClient(stack.url, username="admin", password=stack.admin_password) as admin:
        for name, role in (("vera", "viewer"), ("oda", "operator"), ("ada", "admin")):
            admin.users.create(name, PASSWORD, role)
        yield admin


@pytest.fixture(scope="module")
def voila(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with served(stack, tmp_path_factory.mktemp("home")) as (address, pid):
        yield address, pid


@pytest.fixture(scope="module")
def narrow(browser: Browser, voila: tuple[str, int]) -> Iterator[BrowserContext]:
    """Windows of 1024 pixels, which reach the page and nothing else."""
    context = browser.new_context(viewport={"width": 1024, "height": 1300})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    here = voila[0].partition("?")[0]
    beyond: list[str] = []

    def only_here(route: Route) -> None:
        if route.request.url.startswith(here):
            route.continue_()
        else:
            beyond.append(route.request.url)
            route.abort()

    context.route(re.compile(r"^https?://"), only_here)
    yield context
    context.close()
    assert beyond == []


@pytest.fixture(scope="module")
def desk(narrow: BrowserContext, voila: tuple[str, int], stack: Stack) -> Iterator[Operator]:
    """One page for all tests; a kernel for each would take seconds."""
    page = narrow.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(voila[0])
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=120_000)
    yield Operator(page, stack)
    assert errors == []


@pytest.fixture
def ops(desk: Operator, admin: AdminClient, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """An admin at the desk; what the page shows at the end is kept as a picture."""
    desk.be("admin")
    yield desk
    desk.picture(request.node.name.removeprefix("test_"))


def test_signing_in_and_out(ops: Operator) -> None:
    ops.sign_out()
    expect(ops.text("Signed out.")).to_be_visible()
    ops.sign_in(password="not that")
    password = ops.page.get_by_label("Password")
    expect(password).to_have_attribute("aria-invalid", "true")
    expect(ops.text("Wrong user name or password.")).to_be_visible()
    # It is not there to be read, sent twice or saved.
    expect(password).to_have_value("")
    ops.sign_in()
    expect(ops.text("signed in as admin")).to_be_visible()
    expect(ops.text(re.compile(r"^in \d:\d\d; it is renewed by itself$"))).to_be_visible()
    expect(ops.page.locator("dd", has_text="maintenance:write")).to_be_visible()


def test_the_token_is_renewed_without_a_click(ops: Operator, admin: AdminClient) -> None:
    ops.open("Sign in")
    before = renewals(admin)
    # The service's time moves past the life of the token, which it then refuses.
    ops.stack.clock.advance(300)
    ops.until(lambda: renewals(admin) > before)
    expect(ops.text("signed in as admin")).to_be_visible()
    ops.open("Agents")
    expect(ops.page.get_by_role("radio", name="ppo")).to_be_visible()
    # The dashboard knows the service's time from when it signed in.
    ops.sign_out()


def renewals(admin: AdminClient) -> int:
    """How many sessions of admin's were refreshed; the client here signs in anew as well."""
    return sum(1 for _ in admin.audit.list(actor="admin", action="auth.refresh"))


def test_agents_are_listed_looked_at_promoted_and_rolled_back(
    ops: Operator, admin: AdminClient
) -> None:
    ops.open("Agents")
    expect(ops.page.get_by_role("radio")).to_have_count(4)
    curve = ops.page.get_by_role("img", name=re.compile("^reward from .* highest 500$"))
    expect(curve.first).to_be_visible()
    ops.choose("dqn")
    expect(ops.text("learning_rate 0.0023")).to_be_visible()
    expect(ops.page.get_by_role("table", name="Versions of dqn")).to_be_visible()

    ops.page.get_by_label("Version", exact=True).select_option("3")
    ops.button("Promote").click()
    expect(ops.dialog).to_contain_text("It runs version 1 now, whose final reward is 178.9")
    ops.answer("Promote")
    expect(ops.text("dqn runs version 3.")).to_be_visible()
    expect(ops.text("version 3 promoted by admin")).to_be_visible()
    assert admin.agents.get("dqn").version == 3

    # The same again is refused, and where.
    ops.button("Promote").click()
    ops.answer("Promote")
    expect(ops.page.get_by_label("Version", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(ops.text("Version 3 of dqn is promoted already.")).to_be_visible()

    ops.button("Roll dqn back").click()
    expect(ops.dialog).to_contain_text("will run version 1 again")
    ops.answer("Roll back")
    expect(ops.text("dqn runs version 1 again.")).to_be_visible()


def test_a_reload_applies_what_was_approved_and_names_it_first(
    ops: Operator, admin: AdminClient
) -> None:
    ops.open("Agents")
    ops.choose("a2c")
    ops.button("Reload a2c").click()
    # Nothing was approved, so that nothing is asked.
    expect(ops.text("a2c was reloaded, no proposal applied.")).to_be_visible()
    best = admin.studies.best("cartpole-a2c")[0].number
    proposal = admin.proposals.create("a2c", "cartpole-a2c", best)
    admin.proposals.approve(proposal.id)
    ops.button("Reload a2c").click()
    expect(ops.dialog).to_contain_text("1 approved proposal will take effect:")
    expect(ops.dialog).to_contain_text(f"trial {best} of cartpole-a2c: ")
    ops.answer("Reload")
    expect(ops.text("a2c was reloaded, 1 proposal applied.")).to_be_visible()


def test_an_api_key_is_made_shown_once_rotated_and_revoked(
    ops: Operator, admin: AdminClient
) -> None:
    ops.open("API keys")
    ops.page.get_by_label("Name", exact=True).fill("ci")
    ops.page.get_by_label("agents:read", exact=True).check()
    # A double click is one key.
    ops.button("Create key").dblclick()
    shown = ops.page.get_by_label("Key “ci”: copy it now")
    expect(shown).to_be_focused()
    key = shown.input_value()
    assert works(ops.stack, key)
    ops.picture("key")
    ops.button("Copy").click()
    expect(ops.text("Copied.")).to_be_visible()
    assert ops.page.evaluate("navigator.clipboard.readText()") == key
    # What a page is saved as does not hold it.
    assert key not in ops.page.content()
    expect(ops.text(re.compile(r"vanishes in 1[01]\d s"))).to_be_visible()
    ops.button("Hide").click()
    expect(shown).not_to_be_visible()
    assert shown.input_value() == ""
    assert [one.name for one in admin.api_keys.list()] == ["ci"]

    ops.choose("ci, active")
    ops.page.get_by_label("The old key goes on working").select_option("0")
    ops.button("Rotate").click()
    expect(ops.dialog).to_contain_text(f"the old one ({key[:9]}…) ends at once")
    ops.answer("Rotate")
    renewed = ops.page.get_by_label("New key “ci”: copy it now")
    expect(renewed).to_be_visible()
    new = renewed.input_value()
    assert (works(ops.stack, new), works(ops.stack, key)) == (True, False)

    ops.button("Revoke").click()
    expect(ops.dialog).to_contain_text("Revoke the key “ci”?")
    ops.page.keyboard.press("Escape")
    expect(ops.dialog).not_to_be_visible()
    assert works(ops.stack, new)
    ops.button("Revoke").click()
    ops.answer("Revoke")
    expect(
        ops.text(
            "“ci” was revoked.",
        )
    ).to_be_visible()
    assert not works(ops.stack, new)
    expect(ops.page.get_by_role("radio", name="ci, revoked")).to_be_visible()
    ops.button("Hide").click()


def works(stack: Stack, key: str) -> bool:
    """Whether an API key lets in."""
    with AdminClient(stack.url, api_key=key) as client:
        try:
            client.agents.get("ppo")
        except Unauthorized:
            return False
    return True


def test_what_cannot_be_used_is_said_at_the_field(ops: Operator) -> None:
    ops.open("API keys")
    ops.page.get_by_label("Name", exact=True).fill("")
    ops.button("Create key").click()
    name = ops.page.get_by_label("Name", exact=True)
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(ops.text("String should have at least 1 character")).to_be_visible()
    described = name.get_attribute("aria-describedby") or ""
    assert ops.page.locator(f"#{described.split()[-1]}").text_content()


def test_signing_keys_are_rotated_and_invalidated(ops: Operator, admin: AdminClient) -> None:
    ops.open("Signing keys")
    expect(ops.text("5 min: an access token lives 4 min")).to_be_visible()
    ops.page.get_by_label("Grace, seconds").fill("5")
    ops.button("Rotate").click()
    expect(ops.text("it must be at least 300 s")).to_be_visible()
    ops.page.get_by_label("Grace, seconds").fill("300")
    ops.button("Rotate").click()
    expect(ops.dialog).to_contain_text("none will break.")
    ops.answer("Rotate")
    expect(ops.text(re.compile(r"^\w{8}… signs now\.$"))).to_be_visible()
    row = ops.page.get_by_role("row").filter(has_text="grace")
    countdown = row.get_by_text(re.compile(r"^[45]:\d\d$"))
    expect(countdown).to_be_visible()
    seen = countdown.text_content() or ""
    expect(countdown).not_to_have_text(seen)

    # Too early for another one: refused with a countdown.
    ops.button("Rotate").click()
    expect(ops.text("must stay published")).to_be_visible()
    expect(ops.text(re.compile(r"^Possible again in \d+ s\.$"))).to_be_visible()
    expect(ops.button("Rotate")).to_be_disabled()

    retiring = next(key for key in admin.jwt.status().keys if key.state == "grace")
    ops.choose(f"{retiring.kid[:8]}…, grace")
    ops.page.get_by_label("Reason").fill("leaked")
    ops.button("Invalidate").click()
    expect(ops.dialog).to_contain_text("break at once")
    expect(ops.dialog).to_contain_text("This cannot be undone.")
    ops.answer("Invalidate")
    expect(ops.text(f"{retiring.kid[:8]}… is invalid")).to_be_visible()
    expect(ops.page.get_by_role("row").filter(has_text="invalidated")).to_be_visible()
    # The dashboard's own token broke, and was renewed.
    expect(ops.text("signed in as admin")).to_be_visible()


def test_the_audit_log_is_filtered_gone_through_and_exported(
    ops: Operator, admin: AdminClient
) -> None:
    for number in range(25):
        admin.agents.promote("ddpg", number % 2 + 2)
    ops.open("Audit")
    expect(ops.text("Chain verified")).to_be_visible()
    ops.page.get_by_label("Action").fill("agents.promote")
    ops.page.get_by_label("Target").fill("agents/ddpg")
    ops.button("Filter").click()
    expect(ops.button("Filter")).to_have_attribute("aria-busy", "false")
    rows = ops.page.get_by_role("table", name="Events").locator("tbody tr")
    expect(rows).to_have_count(20)
    expect(rows.filter(has_text="agents.promote")).to_have_count(20)
    ops.button("Older").click()
    expect(rows).to_have_count(5)
    expect(ops.text("These are the oldest.")).to_be_visible()
    rows.first.get_by_role("radio").check()
    expect(ops.page.locator("dt", has_text="request id")).to_be_visible()
    ops.button("Newer").click()
    expect(rows).to_have_count(20)
    with ops.page.expect_download() as download:
        ops.button("Export").click()
    events = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert len(events) == 25
    assert {event["target"] for event in events} == {"agents/ddpg"}
    expect(ops.text("25 events were exported as audit-")).to_be_visible()
    for label in ("Action", "Target"):
        ops.page.get_by_label(label).fill("")
    ops.button("Filter").click()


def test_health_shows_services_redis_and_rates(ops: Operator) -> None:
    ops.open("Health")
    services = ops.page.get_by_role("table", name="Services")
    expect(services.get_by_text("ready", exact=True)).to_have_count(3)
    expect(ops.text("up, answers in")).to_be_visible()
    with stopped(ops.stack, "automl"):
        expect(services.get_by_text("not ready")).to_be_visible()
    expect(services.get_by_text("ready", exact=True)).to_have_count(3)
    expect(ops.page.get_by_role("img", name=re.compile("^requests a second from"))).to_be_visible()


def test_a_service_that_does_not_answer_is_said_and_comes_back_by_itself(ops: Operator) -> None:
    ops.open("Agents")
    ops.choose("ppo")
    alert = ops.page.get_by_role("alert")
    with stopped(ops.stack):
        expect(alert).to_have_text("The service does not answer.")
        expect(ops.text(re.compile(r"^Trying again"))).to_be_visible()
        # The page is as alive as ever: what is done says what comes of it.
        ops.button("Reload ppo").click()
        expect(ops.button("Reloading…")).to_be_visible()
        ops.open("Health")
        ops.open("Agents")
        expect(ops.page.get_by_role("radio")).to_have_count(4)
        ops.picture("unreachable")
    expect(alert).not_to_be_visible()
    expect(ops.button("Reload ppo")).to_be_enabled()
    if ops.dialog.is_visible():
        ops.answer("Cancel")


def test_a_session_that_ended_leads_back_to_sign_in_and_what_was_typed_is_kept(
    ops: Operator, admin: AdminClient
) -> None:
    ops.be("ada", PASSWORD)
    ops.open("API keys")
    ops.page.get_by_label("Name", exact=True).fill("half typed")
    ops.page.get_by_label("jwt:read", exact=True).check()
    admin.users.delete("ada")
    admin.users.create("ada", PASSWORD, "admin")
    expect(ops.text("Your session has ended.")).to_be_visible()
    expect(ops.page.get_by_role("tab", name="Sign in")).to_have_attribute("aria-selected", "true")
    ops.picture("session-ended")
    ops.sign_in("ada", PASSWORD)
    expect(ops.page.get_by_role("tab", name="API keys")).to_have_attribute("aria-selected", "true")
    expect(ops.page.get_by_label("Name", exact=True)).to_have_value("half typed")
    expect(ops.page.get_by_label("jwt:read", exact=True)).to_be_checked()
    ops.page.get_by_label("Name", exact=True).fill("")


def test_what_one_may_not_do_is_greyed_with_the_reason(ops: Operator) -> None:
    ops.be("vera", PASSWORD)
    ops.open("Agents")
    ops.choose("ppo")
    why = "This takes the scope agents:write, which vera (viewer) lacks."
    expect(ops.text(why)).to_have_count(3)
    for name in ("Reload ppo", "Promote", "Roll ppo back"):
        expect(ops.button(name)).to_be_disabled()
        # Who reaches it by keyboard hears why.
        expect(ops.button(name)).to_have_accessible_description(why)
    ops.button("Reload ppo").click(force=True)
    expect(ops.dialog).not_to_be_visible()
    ops.open("API keys")
    expect(ops.text("This takes the scope keys:read, which vera (viewer) lacks.")).to_be_visible()


def test_too_many_failed_logins_are_waited_out(ops: Operator) -> None:
    ops.sign_out()
    for _ in range(6):
        ops.sign_in("oda", "not that")
        expect(ops.button("Sign in")).to_have_attribute("aria-busy", "false")
    expect(ops.text("Too many failed logins.")).to_be_visible()
    countdown = ops.text(re.compile(r"^Possible again in \d+ s\.$"))
    expect(countdown).to_be_visible()
    expect(ops.button("Sign in")).to_be_disabled()
    ops.picture("too-many")
    expect(ops.text("Possible again in 1 s.")).to_be_visible()
    expect(countdown).not_to_be_visible()
    ops.sign_in("oda", PASSWORD)
    expect(ops.text("signed in as oda")).to_be_visible()


@pytest.mark.parametrize(
    "tab", ["Sign in", "Agents", "API keys", "Signing keys", "Audit", "Health"]
)
def test_a_tab_is_accessible_and_fits_1024_pixels(ops: Operator, tab: str) -> None:
    ops.open(tab)
    if tab == "Agents":
        ops.choose("ppo")
    expect(ops.text(re.compile("^Refreshed at"))).to_be_visible()
    found = Axe().run(ops.page).response["violations"]
    assert {f"{one['id']}: {one['impact']}" for one in found} == set()
    assert ops.page.evaluate("document.documentElement.scrollWidth") <= 1024


def test_the_form_and_an_open_question_are_accessible(ops: Operator) -> None:
    ops.open("Signing keys")
    ops.page.get_by_role("radio", name="active").check()
    ops.button("Invalidate").click()
    expect(ops.dialog).to_be_visible()
    assert Axe().run(ops.page).response["violations"] == []
    # The harmless answer has the focus.
    expect(ops.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    ops.picture("question", window=True)
    ops.answer("Cancel")
    ops.sign_out()
    assert Axe().run(ops.page).response["violations"] == []


def test_everything_is_reached_by_keyboard(ops: Operator) -> None:
    ops.open("Sign in")
    keyboard = ops.page.keyboard
    ops.page.get_by_role("tab", name="Sign in").focus()
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    expect(ops.page.get_by_role("table", name="Agents", exact=True)).to_be_visible()
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    expect(ops.page.get_by_role("radio", checked=True)).to_be_focused()
    reload = ops.page.get_by_role("button", name=re.compile("^Reload "))
    expect(reload).to_be_enabled()
    keyboard.press("Tab")
    expect(reload).to_be_focused()
    keyboard.press("Enter")
    expect(ops.text(re.compile("was reloaded, no proposal applied"))).to_be_visible()


def test_a_page_that_is_closed_ends_its_kernel(
    narrow: BrowserContext, voila: tuple[str, int], desk: Operator
) -> None:
    server = psutil.Process(voila[1])
    before = kernels(server)
    page = narrow.new_page()
    page.goto(voila[0])
    expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=120_000)
    assert len(kernels(server)) == len(before) + 1
    page.close(run_before_unload=True)
    desk.until(lambda: kernels(server) == before)


def kernels(server: psutil.Process) -> set[int]:
    """The processes that the pages' cells run in."""
    found = set()
    for child in server.children():
        # One that ends while it is looked at has ended.
        with suppress(psutil.NoSuchProcess):
            if "ipykernel" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def test_nothing_secret_is_left_on_the_page(ops: Operator) -> None:
    page = ops.page.content()
    assert "signed in as admin" in page
    assert ops.stack.admin_password not in page
    assert PASSWORD not in page
    assert not TOKENS.search(page)
