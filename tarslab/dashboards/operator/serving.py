"""The dashboard as a page without code, which Voila serves."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from traitlets.config import Config
from voila.app import Voila  # type: ignore[import-untyped]

from tarslab import bundled
from tarslab.dashboards.operator.session import found
from tarslab.errors import BadArgument

NOTEBOOK = "30_operator_dashboard.ipynb"
LOOPBACK = "127.0.0.1"
TEMPLATES = Path(__file__).parent / "page"
PLACES = ("TARSLAB_URL", "TARSLAB_PROFILE")
CREDENTIALS = ("TARSLAB_USERNAME", "TARSLAB_PASSWORD", "TARSLAB_API_KEY")


def serve(
    url: str | None, profile: str | None, port: int | None, ready: Callable[[str], None]
) -> None:
    """Serve the page on this machine alone until SIGINT or SIGTERM.

    Each page has a kernel of its own, which ends with it. ``ready`` is called with the address,
    whose token lets in whoever has it.

    Raises:
        BadArgument: The port is not free; there is no such profile; a URL and a profile.
    """
    after = environment(os.environ, url, profile)
    os.environ.clear()
    os.environ.update(after)
    found()
    page = _Page(config=Config(CONFIGURATION), config_file_paths=[], log_level="ERROR")
    page.initialize([])
    page.notebook_path = str(bundled.root() / "notebooks" / NOTEBOOK)
    # Whatever Jupyter's configuration on this machine says.
    page.ip, page.port, page.token = LOOPBACK, port or 0, secrets.token_urlsafe(32)
    page.ready = ready
    page.start()


def environment(before: Mapping[str, str], url: str | None, profile: str | None) -> dict[str, str]:
    """The variables for the page's kernels: of the service that is named, and no other's secrets.

    Raises:
        BadArgument: A URL and a profile.
    """
    if url and profile:
        raise BadArgument("a URL and a profile: leave out one of them")
    after = dict(before)
    # Where Voila looks for templates.
    paths = [str(TEMPLATES), *filter(None, [before.get("JUPYTER_PATH")])]
    after["JUPYTER_PATH"] = os.pathsep.join(paths)
    if not (url or profile):
        return after
    same = url is not None and before.get("TARSLAB_URL", "").rstrip("/") == url.rstrip("/")
    for name in PLACES if same else (*PLACES, *CREDENTIALS):
        after.pop(name, None)
    after |= {"TARSLAB_URL": url} if url else {"TARSLAB_PROFILE": profile or ""}
    return after


class _Page(Voila):  # type: ignore[misc]
    """Voila, at one address that it says when it listens there."""

    ready: Callable[[str], None]
    port: Any

    def listen(self) -> None:
        try:
            sockets = bind_sockets(self.port, self.ip)
        except OSError as error:
            raise BadArgument(f"port {self.port}: {error.strerror}; give another one") from None
        server = HTTPServer(self.app)
        server.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        self.ioloop = IOLoop.current()
        self.ready(f"{self.connection_url}?token={self.token}")
        try:
            self.ioloop.start()
        except KeyboardInterrupt:
            pass
        finally:
            server.stop()
            self.stop()


def _dashboard_alone(handler: Any, notebook: NotebookNode, cwd: str) -> None:
    """The notebook without its prose."""
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    # Reading it sets the cookie without which the page may not end its kernel when it goes.
    assert handler.xsrf_token


CONFIGURATION: dict[str, dict[str, Any]] = {
    "Voila": {
        # Tornado warns where this is longer than the interval, which is as long by default.
        "tornado_settings": {"ws_ping_timeout": 30_000},
    },
    "VoilaConfiguration": {
        "template": "tarslab",
        "theme": "light",
        "allow_template_override": "NO",
        "allow_theme_override": "NO",
        # Nothing beside the page is served.
        "file_allowlist": [],
        "prelaunch_hook": _dashboard_alone,
    },
    # A page ends its kernel when it goes, unless its browser is killed.
    "MappingKernelManager": {"cull_idle_timeout": 120, "cull_interval": 30},
}
if os.name == "posix":
    # Any user of this machine may listen to what a kernel says at a TCP port: a new key, too.
    CONFIGURATION["KernelManager"] = {"transport": "ipc"}
