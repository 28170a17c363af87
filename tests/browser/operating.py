"""The operator dashboard on a page, and what an operator does there."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tarslab.stack import Stack
from tests.browser.conftest import ARTEFACTS

# Access and refresh tokens, and API keys.
TOKENS = re.compile(r"eyJ[\w-]{10,}|tar[rs]_\w{20,}")


# Conditions are waited for so long at most, seconds.
LIMIT = 60


class Operator:
    """Somebody who works the dashboard on a page."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page = page
        self.stack = stack
        self.whole = page.locator(".tars-operator")

    def sign_in(self, username: str = "admin", password: str | None = None) -> None:
        """Fill in the form and press Enter; what comes of it is the caller's to see."""
        self.page.get_by_label("Username").fill(username)
        field = self.page.get_by_label("Password")
        field.fill(self.stack.admin_password if password is None else password)
        field.press("Enter")

    def be(self, username: str = "admin", password: str | None = None) -> None:
        """Be signed in as this user, whoever it was before."""
        who = self.page.get_by_text(re.compile(r"^(not signed in|signed in as .*)$"))
        expect(who).to_be_visible(timeout=60_000)
        if who.text_content() == f"signed in as {username}":
            return
        if who.text_content() != "not signed in":
            self.sign_out()
        self.sign_in(username, password)
        expect(self.page.get_by_text(f"signed in as {username}")).to_be_visible()

    def sign_out(self) -> None:
        """Sign out."""
        self.open("Sign in")
        self.button("Sign out").click()
        expect(self.page.get_by_text("not signed in")).to_be_visible()

    def open(self, tab: str) -> None:
        """Turn to a tab."""
        self.page.get_by_role("tab", name=tab, exact=True).click()

    def choose(self, name: str) -> None:
        """Choose a row of a table."""
        self.page.get_by_role("radio", name=name).check()

    def button(self, name: str) -> Locator:
        """A button; a dialog's are those of ``answer``."""
        return self.page.get_by_role("button", name=name)

    def answer(self, verb: str) -> None:
        """Press a button of the dialog."""
        self.dialog.get_by_role("button", name=verb, exact=True).click()
        expect(self.dialog).not_to_be_visible()

    def picture(self, name: str, *, window: bool = False) -> None:
        """Keep a picture of the dashboard, or of the whole window."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTEFACTS / f"operator-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
        if not window:
            self.whole.screenshot(path=path)
            return
        size = self.page.viewport_size
        assert size is not None
        self.page.set_viewport_size({**size, "height": 760})
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)

    @property
    def dialog(self) -> Locator:
        """The question that is open."""
        return self.page.get_by_role("dialog")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that is not on the page."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(100)

    def text(self, words: str | re.Pattern[str]) -> Locator:
        """Where these words stand."""
        return self.page.get_by_text(words)


@contextmanager
def served(stack: Stack, home: Path) -> Iterator[tuple[str, int]]:
    """``tarslab dashboard operator`` for a stack: its address, and its process."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TARSLAB_")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from tarslab.dashboards.cli import app; app()"),
            *("operator", "--url", stack.url),
        ],
        env=variables | {"XDG_CONFIG_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, line + process.stdout.read()
        yield address[0], process.pid
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert not TOKENS.search(said)


@contextmanager
def stopped(stack: Stack, service: str = "orchestration") -> Iterator[None]:
    """A service held up: its connections stay, and its answers do not come."""
    (pid,) = (process.pid for process in stack.status() if process.name == service)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
